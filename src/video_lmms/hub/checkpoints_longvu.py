# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVU's published checkpoints."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import GenerationConfig, LlamaConfig, PreTrainedConfig, Qwen2Config

from ..modeling.configuration_longvu import LongvuConfig
from ..modeling.modeling_longvu import LongvuForConditionalGeneration
from ..processing.chat_templates_longvu import TEMPLATES
from ..processing.image_processing_longvu import LongvuImageProcessor
from ..processing.processing_longvu import LongvuProcessor
from ..processing.video_processing_longvu import LongvuVideoProcessor
from .checkpoints import APACHE_2, Terms, count_parameters, render_card, stand_in_tokenizer


PAPER = "https://arxiv.org/abs/2410.17434"
ORIGINAL_CODE = "https://github.com/Vision-CAIR/LongVU"
SIGLIP, DINOV2 = "google/siglip-so400m-patch14-384", "facebook/dinov2-giant"
LLAMA_3_2_LINK = "https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/LICENSE.txt"
LLAMA_3_2 = Terms("Llama 3.2 Community License", LLAMA_3_2_LINK, {"license": "llama3.2"})


class Family(NamedTuple):
    """What checkpoints over one kind of language model share.

    Attributes:
        tokenizer_length: ids in use; the next one is the placeholder.
        rows: of the embedding table, with room for the placeholder.
        ids: beginning, end and padding.
        template: name of the chat template.
        terms: licence of the weights.
    """

    tokenizer_length: int
    rows: int
    ids: dict[str, Any]
    template: str
    terms: Terms


QWEN2 = Family(
    tokenizer_length=151646,
    rows=152064,
    ids={"bos_token_id": 151643, "eos_token_id": 151645, "pad_token_id": 151643},
    template="qwen",
    terms=APACHE_2,
)
LLAMA3 = Family(
    tokenizer_length=128256,
    rows=128320,  # the table is full: conversion adds rows
    ids={"bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "pad_token_id": 128002},
    template="llama3",
    terms=LLAMA_3_2,
)


class Scores(NamedTuple):
    """Accuracy in % that the paper and the original's page report."""

    egoschema: str
    mvbench: str
    videomme: str
    videomme_long: str
    mlvu: str


class Checkpoint(NamedTuple):
    """What is known of a published LongVU checkpoint.

    Attributes:
        original: Hub id.
        initialised_from: Hub id of the language model.
        family: see [`Family`].
        text: sizes of the language model.
        image_token_len: tokens of a whole frame or image: 144 after training on videos, 576 before.
        drop_threshold: as in its config.json.
        scores: as published; None where nothing is.
    """

    original: str
    initialised_from: str
    family: Family
    text: dict[str, Any]
    image_token_len: int
    drop_threshold: float
    scores: Scores | None = None

    @property
    def is_image_stage(self) -> bool:
        """Whether it was trained on images only, to start video training from."""
        return self.image_token_len == 576


QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
LLAMA3_2_3B = {
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
}
LLAMA3_2_1B = LLAMA3_2_3B | {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32}

_QWEN_BASE, _LLAMA_3B_BASE, _LLAMA_1B_BASE = (
    "Qwen/Qwen2-7B-Instruct",
    "meta-llama/Llama-3.2-3B-Instruct",
    "meta-llama/Llama-3.2-1B-Instruct",
)
_7B_SCORES = Scores("67.6", "66.9", "60.6", "59.5", "65.4")
_3B_SCORES = Scores("59.1", "60.9", "51.5", "47.2", "55.9")

CHECKPOINTS: dict[str, Checkpoint] = {
    "longvu-qwen2-7b": Checkpoint(
        "Vision-CAIR/LongVU_Qwen2_7B", _QWEN_BASE, QWEN2, QWEN2_7B, 144, 0.7, scores=_7B_SCORES
    ),
    "longvu-qwen2-7b-img": Checkpoint("Vision-CAIR/LongVU_Qwen2_7B_img", _QWEN_BASE, QWEN2, QWEN2_7B, 576, 0.7),
    "longvu-llama3-2-3b": Checkpoint(
        "Vision-CAIR/LongVU_Llama3_2_3B", _LLAMA_3B_BASE, LLAMA3, LLAMA3_2_3B, 144, 0.8, scores=_3B_SCORES
    ),
    "longvu-llama3-2-3b-img": Checkpoint(
        "Vision-CAIR/LongVU_Llama3_2_3B_img", _LLAMA_3B_BASE, LLAMA3, LLAMA3_2_3B, 576, 0.8
    ),
    "longvu-llama3-2-1b": Checkpoint("Vision-CAIR/LongVU_Llama3_2_1B", _LLAMA_1B_BASE, LLAMA3, LLAMA3_2_1B, 144, 0.8),
    "longvu-llama3-2-1b-img": Checkpoint(
        "Vision-CAIR/LongVU_Llama3_2_1B_img", _LLAMA_1B_BASE, LLAMA3, LLAMA3_2_1B, 576, 0.8
    ),
}

# The weights were not at hand when these folders were written; conversion reads every value from the original's own
# files, so a wrong guess here never reaches a converted model.
KNOWN = (
    "Hub id, language model, towers, rate of frames, chat template (original code and model card)",
    "grid of 24, windows, groups of 8, at most 400 frames, context of 8192 with 16 tokens in reserve (original code)",
    "dino_threshold 0.83, lowres_token 8, connector_depth 3, sizes of the language model (published config.json)",
    "byte size of the published file: language model, its head and the connector in bfloat16",
)
INFERRED = (
    "image_token_len of the image-stage Qwen2 7B and of the video-stage Llama 3.2 (from the original's discussions)",
    "drop_threshold of the image-stage Qwen2 7B and highres of the image-stage models (those of their siblings)",
    "tie_word_embeddings of Llama 3.2 (that of the language model it started from)",
    "padding ids (those that the original's training code names)",
)

CARD = """
# {name} for transformers

LongVU on {language_model}: {summary} Paper: {paper}. Original code: {code}.

Frames, about one per second, pass three reductions before the language model sees them: of each window of 16 frames
those that resemble the others in DINOv2's eyes are dropped; of the rest, those that match the question get
{full} tokens and the others 64; and if that is still too much, of every 8 frames only the first is kept whole and of
the others what changed. An hour of video fits into {context} tokens, and memory does not grow with the frames that
are dropped.

## How the weights are made

From the original checkpoint, which holds the language model and the connector, and from the two towers:

```bash
hf download {original} --local-dir {folder}
hf download {siglip} --local-dir {siglip_folder}
hf download {dinov2} --local-dir {dinov2_folder}
video-lmms convert longvu --checkpoint {folder} --siglip {siglip_folder} --dinov2 {dinov2_folder} \\
    --output {name}
```

Every tensor of the three is used or listed as deliberately unused in `provenance.json`; anything missing stops the
conversion.

The result has {billions:.2f} billion parameters: {gigabytes:.1f} GB in bfloat16.

## Use

```bash
video-lmms ask clip.mp4 "What happens in the video?" --model {name}
```

`--context-length` sets the tokens that prompt, video and answer may fill together ({context} if nothing is said).

```python
import video_lmms
from transformers import pipeline

pipe = pipeline("image-text-to-text", model="{name}")
video = {{"type": "video", "path": "clip.mp4"}}
question = {{"type": "text", "text": "What happens in the video?"}}
print(pipe(text=[{{"role": "user", "content": [video, question]}}], max_new_tokens=128, return_full_text=False))
```

## Published numbers

{scores}

## Deviations from the original

Results are equal up to rounding, and tests compare them with recordings of the original code on small weights:

- frames are streamed: only the maps of kept frames stay in memory, and SigLIP never sees the others;
- every video of a batch has its own budget, where the original decides by the first; padding is masked;
- similarities are compared in float32, where the original's fp16 may flip a frame on the border;
- kept although surprising: landscape videos lose columns instead of padding, because the weights were trained so
  (the video processor's `true_aspect=True` mends it), and images get 64 cells in video models
  (`image_full_resolution=True` in the configuration and the processor gives them all).

## Licences

Code: Apache-2.0, as the original's. Weights: they derive from {initialised_from}, so the
[{terms}]({terms_link}) applies; both towers are Apache-2.0.

## Citation

```bibtex
{bibtex}
```
"""

VIDEO_STAGE = "a video model for long clips, an hour if need be."
IMAGE_STAGE = (
    "the checkpoint after training on images, from which training on videos starts. It answers about images; its "
    "sibling without `-img` is the one for videos."
)
SCORES = """\
Reported by the paper for the original code; they were not measured again for this conversion. Accuracy in %; Video-MME
without subtitles.

| EgoSchema | MVBench | Video-MME | Video-MME long | MLVU |
| --- | --- | --- | --- | --- |
| {} |"""
NO_SCORES = "None are published for this checkpoint."

BIBTEX = """\
@article{shen2024longvu,
  title   = {LongVU: Spatiotemporal Adaptive Compression for Long Video-Language Understanding},
  author  = {Shen, Xiaoqian and Xiong, Yunyang and Zhao, Changsheng and Wu, Lemeng and Chen, Jun and Zhu, Chenchen and
             Liu, Zechun and Xiao, Fanyi and Varadarajan, Balakrishnan and Bordes, Florian and Liu, Zhuang and Xu, Hu
             and Kim, Hyunwoo J. and Soran, Bilge and Krishnamoorthi, Raghuraman and Elhoseiny, Mohamed and
             Chandra, Vikas},
  journal = {arXiv preprint arXiv:2410.17434},
  year    = {2024},
}"""


def build_text_config(checkpoint: Checkpoint) -> PreTrainedConfig:
    """The language model's configuration."""
    shared = {"vocab_size": checkpoint.family.rows, **checkpoint.family.ids, **checkpoint.text}
    if checkpoint.family is QWEN2:
        rope = {"rope_type": "default", "rope_theta": 1_000_000.0}
        return Qwen2Config(max_position_embeddings=32768, rms_norm_eps=1e-6, rope_parameters=rope, **shared)
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    return LlamaConfig(
        max_position_embeddings=131072, rms_norm_eps=1e-5, rope_parameters=rope, tie_word_embeddings=True, **shared
    )


def build_config(checkpoint: Checkpoint) -> LongvuConfig:
    """The configuration of a checkpoint."""
    return LongvuConfig(
        architectures=[LongvuForConditionalGeneration.__name__],
        dtype="bfloat16",
        text_config=build_text_config(checkpoint),
        image_token_id=checkpoint.family.tokenizer_length,
        video_token_id=checkpoint.family.tokenizer_length,
        image_token_len=checkpoint.image_token_len,
        highres=not checkpoint.is_image_stage,
        drop_threshold=checkpoint.drop_threshold,
        tie_word_embeddings=checkpoint.family is LLAMA3,
    )


def build_generation_config(checkpoint: Checkpoint) -> GenerationConfig:
    """Token ids; answers are greedy, and never a row behind the tokenizer's."""
    family = checkpoint.family
    return GenerationConfig(**family.ids, suppress_tokens=list(range(family.tokenizer_length, family.rows)))


def build_processor(checkpoint: Checkpoint) -> LongvuProcessor:
    """The processor with a stand-in for the tokenizer, which comes with the weights."""
    return LongvuProcessor(
        LongvuImageProcessor(),
        stand_in_tokenizer("<image>"),
        LongvuVideoProcessor(),
        chat_template=TEMPLATES[checkpoint.family.template],
        image_token_len=checkpoint.image_token_len,
        highres=not checkpoint.is_image_stage,
    )


def provenance(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from, and which of the values above are inferred."""
    return {
        "base_model": checkpoint.original,
        "initialised_from": checkpoint.initialised_from,
        "towers": [SIGLIP, DINOV2],
        "paper": PAPER,
        "original_code": ORIGINAL_CODE,
        "code_license": "apache-2.0",
        **checkpoint.family.terms.header,
        "known": list(KNOWN),
        "inferred": list(INFERRED),
    }


def model_card(name: str, checkpoint: Checkpoint) -> str:
    """The text of `README.md`."""
    config = build_config(checkpoint)
    parameters = count_parameters(config)
    original, siglip, dinov2 = (repo.split("/")[1] for repo in (checkpoint.original, SIGLIP, DINOV2))
    body = CARD.format(
        name=name,
        language_model=checkpoint.initialised_from.split("/")[1],
        summary=IMAGE_STAGE if checkpoint.is_image_stage else VIDEO_STAGE,
        paper=PAPER,
        code=ORIGINAL_CODE,
        full=checkpoint.image_token_len,
        context=config.context_length,
        original=checkpoint.original,
        folder=original,
        siglip=SIGLIP,
        siglip_folder=siglip,
        dinov2=DINOV2,
        dinov2_folder=dinov2,
        billions=parameters / 1e9,
        gigabytes=2 * parameters / 1e9,
        scores=SCORES.format(" | ".join(checkpoint.scores)) if checkpoint.scores else NO_SCORES,
        initialised_from=checkpoint.initialised_from,
        terms=checkpoint.family.terms.name,
        terms_link=checkpoint.family.terms.link,
        bibtex=BIBTEX,
    )
    return render_card(checkpoint.original, ["longvu"], checkpoint.family.terms, body)
