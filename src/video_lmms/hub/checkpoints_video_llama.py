# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's published checkpoints."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import GenerationConfig, LlamaConfig

from ..conversion_scripts.convert_video_llama import DECODING, PLACEHOLDERS
from ..modeling.configuration_video_llama import VideoLlamaConfig
from ..modeling.modeling_video_llama import VideoLlamaForConditionalGeneration
from ..processing.feature_extraction_video_llama import VideoLlamaFeatureExtractor
from ..processing.image_processing_video_llama import VideoLlamaImageProcessor
from ..processing.processing_video_llama import VideoLlamaProcessor
from ..processing.video_processing_video_llama import VideoLlamaVideoProcessor
from .checkpoints import LLAMA_2, Terms, count_parameters, render_card, stand_in_tokenizer
from .licences import LLAMA_1 as LLAMA_1_LICENCE
from .licences import LLAMA_2_IMAGEBIND as LLAMA_2_IMAGEBIND_LICENCE


PAPER = "https://arxiv.org/abs/2306.02858"
ORIGINAL_CODE = "https://github.com/DAMO-NLP-SG/Video-LLaMA"
LLAMA_1, LLAMA_2_IMAGEBIND = (
    Terms(licence.name, licence.link, licence.header) for licence in (LLAMA_1_LICENCE, LLAMA_2_IMAGEBIND_LICENCE)
)
# `###` as a word of its own, and behind another: constants of the original, and LLaMA's ids.
VICUNA_STOPS = [[835], [2277, 29937]]


class Family(NamedTuple):
    """What checkpoints over one kind of language model share.

    Attributes:
        name: for readers.
        known_tokens: of its tokenizer; placeholders come behind.
        pad_token_id: the unknown token where there is none for padding.
        rms_norm_eps: of the language model, with its context length.
        style: prompt form.
        terms: licence of the weights that cannot hear.
    """

    name: str
    known_tokens: int
    pad_token_id: int
    rms_norm_eps: float
    max_position_embeddings: int
    style: str
    terms: Terms


LLAMA_2_CHAT = Family("Llama-2-{}-chat", 32000, 0, 1e-5, 4096, "llama_v2", LLAMA_2)
VICUNA_V0 = Family("Vicuna-{} v0", 32001, 32000, 1e-6, 2048, "vicuna", LLAMA_1)

SIZES = {
    "7b": {},
    "13b": {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
}


class Checkpoint(NamedTuple):
    """What is known of a published Video-LLaMA checkpoint.

    Attributes:
        original: Hub id.
        vision: file of the vision branch in it.
        audio: file of the audio branch; None: the checkpoint has no ears.
        family: see [`Family`].
        size: "7b" or "13b".
        finetuned: whether it was tuned on instructions, or pretrained on captions only.
    """

    original: str
    vision: str
    audio: str | None
    family: Family
    size: str
    finetuned: bool = True

    @property
    def terms(self) -> Terms:
        """Licence of the weights. LLaMA's forbids more than ImageBind's."""
        return LLAMA_2_IMAGEBIND if self.audio is not None and self.family is LLAMA_2_CHAT else self.family.terms


def _llama_2(size: str, stage: str, audio: bool) -> Checkpoint:
    files = (f"{branch}_LLaMA_2_{size.upper()}_{stage}.pth" for branch in ("VL", "AL"))
    vision, heard = files
    original = f"DAMO-NLP-SG/Video-LLaMA-2-{size.upper()}-{stage}"
    return Checkpoint(original, vision, heard if audio else None, LLAMA_2_CHAT, size, stage == "Finetuned")


SERIES = "DAMO-NLP-SG/Video-LLaMA-Series"

CHECKPOINTS: dict[str, Checkpoint] = {
    f"video-llama-2-{size}{'-pretrained' * (stage == 'Pretrained')}{'-audio' * audio}": _llama_2(size, stage, audio)
    for size in SIZES
    for stage in ("Finetuned", "Pretrained")
    for audio in (False, True)
} | {
    "video-llama-vicuna-7b": Checkpoint(SERIES, "finetune-vicuna7b-v2.pth", None, VICUNA_V0, "7b"),
    "video-llama-vicuna-7b-audio": Checkpoint(
        SERIES, "finetune-vicuna7b-v2.pth", "finetune_vicuna7b_audiobranch.pth", VICUNA_V0, "7b"
    ),
    "video-llama-vicuna-13b": Checkpoint(SERIES, "finetune-vicuna13b-v2.pth", None, VICUNA_V0, "13b"),
}

# The weights were not at hand when these folders were written; conversion reads every value from the original's own
# files, so a wrong guess here never reaches a converted model.
KNOWN = (
    "Hub ids and file names of fine-tuned checkpoints (README of the original code, loaders of others)",
    "shapes of EVA ViT-g, of BLIP-2's Q-Former, of ImageBind and of the bridges (original code)",
    "8 frames, 32 positions, 32 tokens per video and 8 per sound, prompts, stop ids, decoding (original code)",
    "eps 1e-5 behind the frame encoder (original code, and recordings of it)",
)
INFERRED = (
    "file names of the pretrained checkpoints over Llama 2 (those of their fine-tuned siblings)",
    "context length and rms_norm_eps of the language model (those of LLaMA and Llama 2)",
)

CARD = """
# {name} for transformers

Video-LLaMA on {language_model}: {summary}

Every frame becomes 32 tokens by EVA ViT-g and BLIP-2's Q-Former; a second Q-Former reads the tokens of all frames,
each with the position of its frame, and answers with 32 tokens: a video costs no more, whatever its length. {ears}

Paper: {paper}. Original code: {code}.

## How the weights are made

From the original's pieces:

```bash
{downloads}
video-lmms convert video_llama {sources} \\
    --output {name}
```

EVA ViT-g (`eva_vit_g.pth`) and the Q-Former (`blip2_pretrained_flant5xxl.pth`) are those of
[LAVIS](https://github.com/salesforce/LAVIS), whose code names their addresses.{delta}
`provenance.json` then says what each file gave; a tensor that is missing, or has no place, stops the conversion.
Reading `tokenizer.model` needs `pip install "video-lmms[sentencepiece]"`, running the result does not.

The result has {billions:.2f} billion parameters: {gigabytes:.1f} GB in bfloat16.

## Use

```bash
video-lmms ask clip.mp4 "What happens in the video?" --model {name}
```

```python
import video_lmms
from transformers import pipeline

pipe = pipeline("image-text-to-text", model="{name}")
video = {{"type": "video", "path": "clip.mp4"}}
question = {{"type": "text", "text": "What happens in the video?"}}
print(pipe(text=[{{"role": "user", "content": [video, question]}}], max_new_tokens=300, return_full_text=False))
```
{hearing}
The default prompt is `{style}`; `vicuna`, `llama_v2`, `minigpt4` and `first_release` are there by name. Up to 32
frames fit (`num_frames`); the weights saw 8. More stretch the table of positions with `interpolate_positions=True` in
the configuration.

## Published numbers

The paper has no benchmarks, and the original code no evaluation. Others report of the 7B model on Vicuna, judged by
GPT-3.5 (accuracy in % / score of 5, from the page of Video-ChatGPT): MSVD-QA 51.6 / 2.5, MSRVTT-QA 29.6 / 1.8,
ActivityNet-QA 12.4 / 1.1. They were not measured again for this conversion.

## Deviations from the original

Results are equal up to rounding, and tests compare them with recordings of the original code on small weights:

- videos of a batch may differ in length, prompts may be padded, and each row stops for itself;
- frames are chosen by the right formula; `sampling="original_uniform"` brings the rounding errors of the original back
  (for the 8 frames of every published model there are none);
- placeholders are rows of their own behind the language model's, kept out of every softmax;
- sound that cannot be read is an error, unless silence is asked for.

## Licences

Code: Apache-2.0 here, BSD-3-Clause in the original. Weights: they derive from {language_model}, so the
[{terms}]({terms_link}) applies. The original's README asks for research use only.{imagebind_terms}

## Citation

```bibtex
{bibtex}
```
"""

FINETUNED = "it answers questions about videos and images."
PRETRAINED = "the checkpoint after training on captions, from which tuning on instructions starts."
EARS = (
    "Sound goes the same way: eight clips of two seconds through ImageBind's audio tower and a Q-Former of their own "
    "become 8 tokens."
)
DEAF = "This folder has no ears; its sibling with `-audio` hears too."
HEARING = """
With its own sound, in the prompt of the original's audio demo:

```python
chat = [{"role": "user", "content": [video, question]}]
inputs = pipe.processor.apply_chat_template(
    chat, use_audio_in_video=True, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
)
```
"""
DELTA = " Vicuna v0 is LLaMA plus\n`lmsys/vicuna-{size}-delta-v0`, added in float16 as its authors do."

BIBTEX = """\
@article{zhang2023videollama,
  title   = {Video-LLaMA: An Instruction-tuned Audio-Visual Language Model for Video Understanding},
  author  = {Zhang, Hang and Li, Xin and Bing, Lidong},
  journal = {arXiv preprint arXiv:2306.02858},
  year    = {2023},
}"""


def build_config(checkpoint: Checkpoint) -> VideoLlamaConfig:
    """The configuration of a checkpoint; the defaults of [`VideoLlamaConfig`] are the published ones."""
    family = checkpoint.family
    known = family.known_tokens
    text = LlamaConfig(
        vocab_size=known + len(PLACEHOLDERS),
        max_position_embeddings=family.max_position_embeddings,
        rms_norm_eps=family.rms_norm_eps,
        **SIZES[checkpoint.size],
    )
    return VideoLlamaConfig(
        architectures=[VideoLlamaForConditionalGeneration.__name__],
        dtype="bfloat16",
        text_config=text,
        audio_config=None if checkpoint.audio is None else {},
        image_token_id=known,
        audio_token_id=known + 1,
        video_token_id=known + 2,
        output_vocab_size=known,
        stop_sequences=VICUNA_STOPS if family is VICUNA_V0 else None,
    )


def build_generation_config(checkpoint: Checkpoint) -> GenerationConfig:
    """The demos' sampling; ids of LLaMA's tokenizer."""
    known = checkpoint.family.known_tokens
    return GenerationConfig(
        bos_token_id=1,
        eos_token_id=[2],
        pad_token_id=checkpoint.family.pad_token_id,
        suppress_tokens=list(range(known, known + len(PLACEHOLDERS))),
        **DECODING,
    )


def build_processor(checkpoint: Checkpoint) -> VideoLlamaProcessor:
    """The processor with a stand-in for the tokenizer, which comes with the weights."""
    return VideoLlamaProcessor(
        VideoLlamaImageProcessor(),
        stand_in_tokenizer(*PLACEHOLDERS),
        VideoLlamaVideoProcessor(),
        VideoLlamaFeatureExtractor(),
        prompt_style=checkpoint.family.style,
    )


def language_model(checkpoint: Checkpoint) -> str:
    """As people call it."""
    return checkpoint.family.name.format(
        checkpoint.size.upper() if checkpoint.family is VICUNA_V0 else checkpoint.size
    )


def sources(checkpoint: Checkpoint) -> tuple[list[str], dict[str, str]]:
    """Downloads, and the converter's options."""
    folder = checkpoint.original.split("/")[1]
    downloads = [f"hf download {checkpoint.original} --local-dir {folder}"]
    options = {"vit": "eva_vit_g.pth", "qformer": "blip2_pretrained_flant5xxl.pth"}
    if checkpoint.family is VICUNA_V0:
        delta = f"vicuna-{checkpoint.size}-delta-v0"
        downloads += [f"hf download lmsys/{delta} --local-dir {delta}"]
        options = {"llama": f"llama-{checkpoint.size}", "vicuna-delta": delta} | options
    else:
        options = {"llama": f"{folder}/llama-2-{checkpoint.size}-chat-hf"} | options
    options["checkpoint"] = f"{folder}/{checkpoint.vision}"
    if checkpoint.audio is not None:
        imagebind = "imagebind_huge.pth" if checkpoint.family is VICUNA_V0 else f"{folder}/imagebind_huge.pth"
        options |= {"audio-checkpoint": f"{folder}/{checkpoint.audio}", "imagebind": imagebind}
    return downloads, options


def provenance(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from, and which of the values above are inferred."""
    files = [checkpoint.vision] + ([checkpoint.audio, "imagebind_huge.pth"] if checkpoint.audio else [])
    return {
        "base_model": checkpoint.original,
        "original_files": files + ["eva_vit_g.pth", "blip2_pretrained_flant5xxl.pth"],
        "language_model": language_model(checkpoint),
        "paper": PAPER,
        "original_code": ORIGINAL_CODE,
        "code_license": "bsd-3-clause",
        **checkpoint.terms.header,
        "known": list(KNOWN),
        "inferred": list(INFERRED),
    }


def model_card(name: str, checkpoint: Checkpoint) -> str:
    """The text of `README.md`."""
    parameters = count_parameters(build_config(checkpoint))
    downloads, options = sources(checkpoint)
    hears, terms = checkpoint.audio is not None, checkpoint.terms
    body = CARD.format(
        name=name,
        language_model=language_model(checkpoint),
        summary=FINETUNED if checkpoint.finetuned else PRETRAINED,
        ears=EARS if hears else DEAF if f"{name}-audio" in CHECKPOINTS else "",
        paper=PAPER,
        code=ORIGINAL_CODE,
        downloads="\n".join(downloads),
        sources=" \\\n    ".join(f"--{option} {value}" for option, value in options.items()),
        delta=DELTA.format(size=checkpoint.size) if checkpoint.family is VICUNA_V0 else "",
        billions=parameters / 1e9,
        gigabytes=2 * parameters / 1e9,
        hearing=HEARING if hears else "",
        style=checkpoint.family.style,
        terms=terms.name,
        terms_link=terms.link,
        imagebind_terms="\nImageBind's weights are for non-commercial use (CC BY-NC-SA 4.0)." if hears else "",
        bibtex=BIBTEX,
    )
    return render_card(checkpoint.original, ["video-llama"], terms, body)
