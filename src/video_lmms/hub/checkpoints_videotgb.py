# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""VideoTGB's published checkpoints."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import GenerationConfig, LlamaConfig, PreTrainedConfig, ProcessorMixin, T5Config

from ..modeling.configuration_videotgb import VideotgbConfig
from ..modeling.configuration_videotgb_t5 import TEXT_DEFAULTS, VideotgbT5Config
from ..modeling.modeling_videotgb import VideotgbForConditionalGeneration
from ..modeling.modeling_videotgb_t5 import VideotgbT5ForConditionalGeneration
from ..processing.chat_templates_videotgb import IMAGE_TOKEN, VIDEO_TOKEN
from ..processing.image_processing_videotgb import VideotgbImageProcessor
from ..processing.processing_videotgb import VideotgbProcessor, VideotgbT5Processor
from ..processing.video_processing_videotgb import VideotgbVideoProcessor
from .checkpoints import count_parameters, render_card, stand_in_tokenizer
from .licences import APACHE_2, LLAMA_1, Licence


PAPER = "https://arxiv.org/abs/2402.16050"
ORIGINAL = "ColorfulAI/LSTP-Chat"
BERT = "google-bert/bert-base-uncased"
RAFT = "raft-sintel.pth (princeton-vl/RAFT)"
# Rows of Vicuna's table with its padding token; the placeholders come behind.
VICUNA_ROWS = 32001


class Checkpoint(NamedTuple):
    """What is known of a published VideoTGB checkpoint.

    Attributes:
        file: in the original repository.
        base: Hub id of the image model it was trained from.
        language_model: the same for its language model, as people call it.
        is_t5: whether it is the encoder-decoder form.
        licence: of the weights.
        scores: accuracy / score on MSVD-QA, MSRVTT-QA and ActivityNet-QA; None where nothing is reported.
    """

    file: str
    base: str
    language_model: str
    is_t5: bool
    licence: Licence
    scores: tuple[str, str, str] | None


CHECKPOINTS: dict[str, Checkpoint] = {
    "videotgb-7b": Checkpoint(
        file="LSTP-7B.ckpt",
        base="Salesforce/instructblip-vicuna-7b",
        language_model="Vicuna-7B v1.1",
        is_t5=False,
        licence=LLAMA_1,
        scores=("71.3 / 3.9", "57.3 / 3.3", "43.9 / 3.3"),
    ),
    "videotgb-flan-t5-xl": Checkpoint(
        file="LSTP-FlanT5xl.ckpt",
        base="Salesforce/blip2-flan-t5-xl",
        language_model="Flan-T5-xl",
        is_t5=True,
        licence=APACHE_2,
        scores=None,
    ),
}

# The weights were not at hand when these folders were written; conversion reads every value from the original's own
# files, so a wrong guess here never reaches a converted model.
KNOWN = (
    "Hub id, file names and base models (README of the original code)",
    "32 candidate frames, 4 chosen, two draws, temperature 0.5, 20 updates of RAFT, mean over frames (original code)",
    "sizes of the 7B checkpoint (they add up to the published file size in float32)",
)
INFERRED = (
    "epsilon of the vision tower's norms (default of the library)",
    "rows of the Q-Former's vocabulary (BERT's and one more)",
    "content of LSTP-FlanT5xl.ckpt (its size is unknown)",
)

CARD = """
# {name} for transformers

VideoTGB (called LSTP by its code) on {language_model}: a bridge of BERT's size reads the optical flow of the clip and
the question, and marks where the answer lies; four of 32 candidate frames come from there, and only they are seen by
the image model ({base}). Their visual tokens are averaged, so a video costs 32 tokens however long it is. Paper:
{paper}.

## How the weights are made

```bash
hf download {original} {file} --local-dir {name}-original
hf download {base} --local-dir {base_folder}
hf download {bert} --local-dir bert-base-uncased
video-lmms convert videotgb --checkpoint {name}-original/{file} --base {base_folder} \\
    --sampler-tokenizer bert-base-uncased --output {name}-hf
```

Flat files and those that Lightning writes are both read; nothing in them is executed. Every tensor is used or listed
as deliberately unused in `provenance.json`; what the checkpoint lacks is taken from the base, and listed too. LoRA is
merged, or kept with `--keep-lora`.

The result has {billions:.2f} billion parameters: {gigabytes:.1f} GB in float32.

## Use

```bash
video-lmms ask clip.mp4 "When does the dog jump?" --model {name}-hf --json
```

prints the answer with the frames that the question chose, the spans they come from and their times.

```python
import video_lmms
from transformers import pipeline

pipe = pipeline("image-text-to-text", model="{name}-hf")
video = {{"type": "video", "path": "clip.mp4"}}
question = {{"type": "text", "text": "When does the dog jump?"}}
print(pipe(text=[{{"role": "user", "content": [video, question]}}], max_new_tokens=128, return_full_text=False))
```

Flow does not depend on the question: `get_video_cache` computes it once, and `generate(video_cache=...)` answers
further questions without it.

## Published numbers

{scores}

## Deviations from the original

Results are equal up to rounding, and tests compare them with recordings of the original code on small weights; the
head of `{module}.py` lists what differs. The choice of frames is deterministic here; the original's draws come back
with `frame_generator`.

## Licences

Code: Apache-2.0. Weights: they derive from {language_model}, so the [{terms}]({terms_link}) applies. The original code
states no licence.
"""


def build_config(checkpoint: Checkpoint) -> PreTrainedConfig:
    """The configuration of a checkpoint; most of it is the classes' defaults."""
    if checkpoint.is_t5:
        config = VideotgbT5Config(text_config=T5Config(**TEXT_DEFAULTS))
        config.architectures = [VideotgbT5ForConditionalGeneration.__name__]
    else:
        text = LlamaConfig(vocab_size=VICUNA_ROWS + 2, bos_token_id=0, eos_token_id=1, pad_token_id=VICUNA_ROWS - 1)
        config = VideotgbConfig(
            text_config=text,
            qformer_config={"vocab_size": 30523},
            image_token_id=VICUNA_ROWS,
            video_token_id=VICUNA_ROWS + 1,
            num_output_tokens=VICUNA_ROWS,
        )
        config.architectures = [VideotgbForConditionalGeneration.__name__]
    config.dtype = "float32"
    return config


def build_generation_config(checkpoint: Checkpoint) -> GenerationConfig:
    """Greedy; stops where the tokenizer's text ends, and never says a placeholder."""
    config = build_config(checkpoint)
    placeholders = [config.image_token_id, config.video_token_id]
    if checkpoint.is_t5:
        return GenerationConfig(decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, suppress_tokens=placeholders)
    return GenerationConfig(bos_token_id=2, eos_token_id=2, pad_token_id=VICUNA_ROWS - 1, suppress_tokens=placeholders)


def build_processor(checkpoint: Checkpoint) -> ProcessorMixin:
    """The processor with stand-ins for the tokenizers, which come with the weights."""
    parts = {
        "image_processor": VideotgbImageProcessor(),
        "tokenizer": stand_in_tokenizer(IMAGE_TOKEN, VIDEO_TOKEN),
        "video_processor": VideotgbVideoProcessor(),
        "sampler_tokenizer": stand_in_tokenizer(),
    }
    if checkpoint.is_t5:
        return VideotgbT5Processor(**parts)
    return VideotgbProcessor(**parts, qformer_tokenizer=stand_in_tokenizer())


def provenance(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from, and which of the values above are inferred."""
    return {
        "base_model": ORIGINAL,
        "file": checkpoint.file,
        "initialised_from": [checkpoint.base, BERT, RAFT],
        "paper": PAPER,
        **checkpoint.licence.header,
        "known": list(KNOWN),
        "inferred": list(INFERRED),
    }


def score_table(scores: tuple[str, str, str] | None) -> str:
    """Markdown of the numbers that are known."""
    if scores is None:
        return "None are reported for this checkpoint."
    return (
        "Accuracy in % / score, judged by GPT-3.5; reported for the original code, and not measured again for this\n"
        "conversion.\n\n| MSVD-QA | MSRVTT-QA | ActivityNet-QA |\n| --- | --- | --- |\n| " + " | ".join(scores) + " |"
    )


def model_card(name: str, checkpoint: Checkpoint) -> str:
    """The text of `README.md`."""
    parameters = count_parameters(build_config(checkpoint))
    body = CARD.format(
        name=name,
        original=ORIGINAL,
        file=checkpoint.file,
        base=checkpoint.base,
        base_folder=checkpoint.base.split("/")[1],
        bert=BERT,
        language_model=checkpoint.language_model,
        paper=PAPER,
        billions=parameters / 1e9,
        gigabytes=4 * parameters / 1e9,
        scores=score_table(checkpoint.scores),
        module="modeling_videotgb_t5" if checkpoint.is_t5 else "modeling_videotgb",
        terms=checkpoint.licence.name,
        terms_link=checkpoint.licence.link,
    )
    return render_card(ORIGINAL, ["videotgb"], checkpoint.licence, body)
