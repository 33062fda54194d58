# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""PLLaVA's published checkpoints."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import GenerationConfig, LlamaConfig

from ..modeling.configuration_pllava import PllavaConfig
from ..modeling.modeling_pllava import PllavaForConditionalGeneration
from ..processing.chat_templates_pllava import chat_templates
from ..processing.image_processing_pllava import PllavaImageProcessor
from ..processing.processing_pllava import PllavaProcessor
from ..processing.video_processing_pllava import PllavaVideoProcessor
from .checkpoints import LLAMA_2, Terms, count_parameters, render_card, stand_in_tokenizer


PAPER = "https://arxiv.org/abs/2404.16994"
ORIGINAL_CODE = "https://github.com/magic-research/PLLaVA"
# Training left alpha nowhere in its files; its own scripts answer with a weaker one than they train with.
LORA = {"rank": 128, "targets": ["q_proj", "v_proj"], "trained_with_alpha": 32, "alpha": 4}
YI_LINK = "https://huggingface.co/01-ai/Yi-34B/blob/main/LICENSE"
YI = Terms("Yi licence", YI_LINK, {"license": "other", "license_name": "yi-license", "license_link": YI_LINK})


class Scores(NamedTuple):
    """Numbers that the paper reports."""

    msvd: str
    msrvtt: str
    activitynet: str
    tgif: str
    vcgbench: str
    mvbench: str


class Checkpoint(NamedTuple):
    """What is known of a published PLLaVA checkpoint.

    Attributes:
        initialised_from: Hub id of the image model that training started from.
        language_model: the same for its language model, as people call it.
        text: values of `LlamaConfig` that differ from Vicuna-7B's.
        image_token_id: of `<image>`.
        token_ids: beginning, end and padding.
        template: default chat template.
        terms: licence of the weights.
        scores: as published.
    """

    initialised_from: str
    language_model: str
    text: dict[str, Any]
    image_token_id: int
    token_ids: dict[str, int]
    template: str
    terms: Terms
    scores: Scores


CHECKPOINTS: dict[str, Checkpoint] = {
    "pllava-7b": Checkpoint(
        initialised_from="llava-hf/llava-v1.6-vicuna-7b-hf",
        language_model="Vicuna-7B v1.5",
        text={},
        image_token_id=32000,
        token_ids={"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001},
        template="plain",
        terms=LLAMA_2,
        scores=Scores("76.6 / 4.1", "62.0 / 3.5", "56.3 / 3.5", "77.5 / 4.1", "3.12", "46.6"),
    ),
    "pllava-13b": Checkpoint(
        initialised_from="llava-hf/llava-v1.6-vicuna-13b-hf",
        language_model="Vicuna-13B v1.5",
        text={"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
        image_token_id=32000,
        token_ids={"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001},
        template="plain",
        terms=LLAMA_2,
        scores=Scores("75.7 / 4.1", "63.2 / 3.6", "56.3 / 3.6", "77.8 / 4.2", "3.27", "50.1"),
    ),
    "pllava-34b": Checkpoint(
        initialised_from="llava-hf/llava-v1.6-34b-hf",
        language_model="Nous-Hermes-2-Yi-34B",
        text={
            "hidden_size": 7168,
            "intermediate_size": 20480,
            "num_hidden_layers": 60,
            "num_attention_heads": 56,
            "num_key_value_heads": 8,
            "vocab_size": 64064,
            "eos_token_id": 7,
            "pad_token_id": 0,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5_000_000.0},
        },
        image_token_id=64002,
        token_ids={"bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0},
        template="plain_llavanext",
        terms=YI,
        scores=Scores("79.9 / 4.2", "68.7 / 3.8", "60.9 / 3.7", "80.6 / 4.3", "3.48", "58.1"),
    ),
}

# The weights were not at hand when these folders were written; conversion reads every value from the original's own
# files, so a wrong guess here never reaches a converted model.
KNOWN = (
    "Hub id and the checkpoint it was initialised from (README of the original code)",
    "placeholder ids, CLIP layer -2 without class token, exact GELU, 16 frames, 16 x 12 x 12 tokens (original code)",
    "LoRA of rank 128 on q_proj and v_proj, used with alpha 4 (original code and its scripts)",
    "training dtype bfloat16 (original training configuration)",
)
INFERRED = (
    "sizes, rope_theta and rms_norm_eps of the language model (those of the model it started from)",
    "vocab_size (embedding rows are padded to a multiple of 64)",
    "beginning, end and padding ids (those of the base tokenizer)",
)

CARD = """
# {name} for transformers

PLLaVA on {language_model}: a video model that answers questions, made from an image model (LLaVA-NeXT) without new
parameters. 16 frames go one by one through CLIP and LLaVA's projector, and an adaptive average pool reduces them to
16 x 12 x 12 = 2304 tokens. Paper: {paper}. Original code: {code}.

## How the weights are made

From the original checkpoint, by two commands:

```bash
hf download {original} --local-dir {name}
video-lmms convert pllava --model-dir {name} --output {name}-hf
```

The LoRA that training left beside the weights is merged in float32 with alpha {alpha}, the value of all published
runs; `--lora-alpha` sets another one (training used {trained_alpha}) and `--keep-lora` keeps it as a PEFT adapter.
Every tensor of the original is used or listed as deliberately unused in `provenance.json`; anything missing stops the
conversion.

The result has {billions:.2f} billion parameters: {gigabytes:.1f} GB in bfloat16.

## Use

```bash
video-lmms ask clip.mp4 "What happens in the video?" --model {name}-hf
```

```python
import video_lmms
from transformers import pipeline

pipe = pipeline("image-text-to-text", model="{name}-hf")
video = {{"type": "video", "path": "clip.mp4"}}
question = {{"type": "text", "text": "What happens in the video?"}}
print(pipe(text=[{{"role": "user", "content": [video, question]}}], max_new_tokens=200, return_full_text=False))
```

The default prompt is `{template}`. The prompts of the original's benchmarks are chat templates too, chosen by name, as
in `processor.apply_chat_template(chat, chat_template="{benchmark}")`:
{templates}.

## Published numbers

Reported by the paper for the original code; they were not measured again for this conversion. Accuracy in % / score
of 5, judged by GPT-3.5; VCGBench is the mean of all its ratings; MVBench in %.

| MSVD | MSRVTT | ActivityNet | TGIF | VCGBench | MVBench |
| --- | --- | --- | --- | --- | --- |
| {scores} |

## Deviations from the original

Results are equal up to rounding, and tests compare them with recordings of the original code on small weights:

- pooling happens before the projector's second layer, with which it commutes;
- the vision tower ends at the layer whose output is used (23 of 24 blocks);
- LoRA is merged at conversion instead of injected when the model is loaded;
- a single image works (it is a video of one frame), and so do padded batches with any number of videos per prompt.

## Licences

Code: Apache-2.0, as the original's. Weights: they derive from {initialised_from} and through it from
{language_model}, so the [{terms}]({terms_link}) applies.

## Citation

```bibtex
{bibtex}
```
"""

BIBTEX = """\
@article{xu2024pllava,
  title   = {PLLaVA: Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning},
  author  = {Xu, Lin and Zhao, Yilin and Zhou, Daquan and Lin, Zhijie and Ng, See Kiong and Feng, Jiashi},
  journal = {arXiv preprint arXiv:2404.16994},
  year    = {2024},
}"""


def build_config(checkpoint: Checkpoint) -> PllavaConfig:
    """The configuration of a checkpoint; all defaults of [`PllavaConfig`] are those of the 7b."""
    defaults = PllavaConfig().text_config.to_dict()
    del defaults["head_dim"], defaults["num_key_value_heads"]  # they follow from the other sizes
    return PllavaConfig(
        architectures=[PllavaForConditionalGeneration.__name__],
        dtype="bfloat16",
        text_config=LlamaConfig(**(defaults | checkpoint.text)),
        image_token_id=checkpoint.image_token_id,
        video_token_id=checkpoint.image_token_id,
    )


def build_processor(checkpoint: Checkpoint) -> PllavaProcessor:
    """The processor with a stand-in for the tokenizer, which comes with the weights."""
    return PllavaProcessor(
        PllavaImageProcessor(),
        stand_in_tokenizer("<image>"),
        PllavaVideoProcessor(),
        chat_template=chat_templates(checkpoint.template),
    )


def provenance(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from, and which of the values above are inferred."""
    return {
        "base_model": f"ermu2001/{name}",
        "initialised_from": checkpoint.initialised_from,
        "paper": PAPER,
        "original_code": ORIGINAL_CODE,
        "code_license": "apache-2.0",
        **checkpoint.terms.header,
        "lora": LORA,
        "known": list(KNOWN),
        "inferred": list(INFERRED),
    }


def build_generation_config(checkpoint: Checkpoint) -> GenerationConfig:
    """Token ids; answers are greedy."""
    return GenerationConfig(**checkpoint.token_ids)


def model_card(name: str, checkpoint: Checkpoint) -> str:
    """The text of `README.md`."""
    yi = checkpoint.template.endswith("_llavanext")
    own = [key for key in chat_templates() if key.startswith("eval_") and key.endswith("_llavanext") == yi]
    parameters = count_parameters(build_config(checkpoint))
    body = CARD.format(
        name=name,
        original=f"ermu2001/{name}",
        language_model=checkpoint.language_model,
        initialised_from=checkpoint.initialised_from,
        paper=PAPER,
        code=ORIGINAL_CODE,
        alpha=LORA["alpha"],
        trained_alpha=LORA["trained_with_alpha"],
        billions=parameters / 1e9,
        gigabytes=2 * parameters / 1e9,
        template=checkpoint.template,
        benchmark=own[0],
        templates=", ".join(f"`{key}`" for key in own),
        scores=" | ".join(checkpoint.scores),
        terms=checkpoint.terms.name,
        terms_link=checkpoint.terms.link,
        bibtex=BIBTEX,
    )
    return render_card(f"ermu2001/{name}", ["pllava"], checkpoint.terms, body)
