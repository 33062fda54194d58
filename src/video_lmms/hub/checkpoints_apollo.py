# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Apollo's published checkpoints."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import GenerationConfig, Qwen2Config

from ..modeling.configuration_apollo import ApolloConfig
from ..modeling.modeling_apollo import ApolloForConditionalGeneration
from ..processing.image_processing_apollo import ApolloImageProcessor
from ..processing.processing_apollo import ApolloProcessor
from ..processing.video_processing_apollo import ApolloVideoProcessor
from .checkpoints import count_parameters, render_card, stand_in_tokenizer
from .licences import APACHE_2, QWEN_RESEARCH, Licence


PAPER = "https://arxiv.org/abs/2412.10360"
# Of the language models; Apollo's training added no token.
TOKEN_IDS = {"bos_token_id": 151643, "eos_token_id": 151645}
GENERATION = {
    "bos_token_id": 151643,
    "eos_token_id": [151645, 151643],
    "pad_token_id": 151643,
    "do_sample": True,
    "temperature": 0.7,
    "top_p": 0.8,
    "top_k": 20,
}


class Scores(NamedTuple):
    """Numbers that the paper's abstract, or a summary that cites the paper's tables, reports; None where neither does.

    Attributes:
        apollobench: the paper's own selection of questions.
        mlvu: in %.
        longvideobench: in %.
        videomme: without / with subtitles.
    """

    apollobench: str
    mlvu: str
    longvideobench: str | None
    videomme: str | None


class Checkpoint(NamedTuple):
    """What is known of a published Apollo checkpoint.

    Attributes:
        original: its Hub id; withdrawn.
        copy: Hub id of a complete copy.
        language_model: Hub id of the language model it started from.
        text: sizes of the language model.
        tied: whether the head is the embedding table.
        repetition_penalty: of the published generation configuration.
        licence: of the weights.
        scores: as published.
    """

    original: str
    copy: str
    language_model: str
    text: dict[str, int]
    tied: bool
    repetition_penalty: float
    licence: Licence
    scores: Scores


CHECKPOINTS: dict[str, Checkpoint] = {
    "apollo-1.5b": Checkpoint(
        original="Apollo-LMMs/Apollo-1_5B-t32",
        copy="GoodiesHere/Apollo-LMMs-Apollo-1_5B-t32",
        language_model="Qwen/Qwen2.5-1.5B-Instruct",
        text={
            "vocab_size": 151936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "max_window_layers": 21,
        },
        tied=True,
        repetition_penalty=1.1,
        licence=APACHE_2,
        scores=Scores("57.0", "63.3", None, None),
    ),
    "apollo-3b": Checkpoint(
        original="Apollo-LMMs/Apollo-3B-t32",
        copy="GoodiesHere/Apollo-LMMs-Apollo-3B-t32",
        language_model="Qwen/Qwen2.5-3B-Instruct",
        text={
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "max_window_layers": 70,
        },
        tied=True,
        repetition_penalty=1.05,
        licence=QWEN_RESEARCH,
        scores=Scores("62.7", "68.7", "55.1", None),
    ),
    "apollo-7b": Checkpoint(
        original="Apollo-LMMs/Apollo-7B-t32",
        copy="GoodiesHere/Apollo-LMMs-Apollo-7B-t32",
        language_model="Qwen/Qwen2.5-7B-Instruct",
        text={
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_window_layers": 28,
        },
        tied=False,
        repetition_penalty=1.05,
        licence=APACHE_2,
        scores=Scores("66.3", "70.9", None, "61.3 / 63.3"),
    ),
}

# The weights were not at hand when these folders were written; conversion reads every value from the original's own
# files, so a wrong guess here never reaches a converted model.
KNOWN = (
    "Hub ids, sizes of the language model, tied or own head, tower order and grid, connector sizes, clip duration of "
    "2 s, 25 clips per encoding step, context of 16384 tokens (configuration files of the originals)",
    "sizes of connector and InternVideo2 (they add up to the published file sizes)",
    "4 frames per clip and 0.65 of the context for video (usage of the original code; no file holds them)",
)
INFERRED = (
    "hidden state -2 of both towers (default of the original's code)",
    "placeholders <|video_token|> and <|image_token|> in the first two rows that the tokenizer leaves free",
    "generation configuration (that of the language model; the published file has its size)",
    "max_window_layers of the language model (without effect: no sliding window is used)",
)

CARD = """
# {name} for transformers

Apollo on {language_model}: a video is a series of clips of 2 seconds, 4 frames each. SigLIP sees the frames one by
one, InternVideo2 the clip as a whole; their features share a grid and a Perceiver reads them into 128 tokens. The
prompt says when each clip begins and ends. Paper: {paper}.

## How the weights are made

The authors withdrew the original, `{original}`, soon after its release; complete copies circulate. From a copy, by two
commands:

```bash
hf download {copy} --local-dir {name}-original
video-lmms convert apollo --checkpoint {name}-original --output {name}-hf
```

`--frames-per-clip` (4) and `--clip-sampling-ratio` (0.65 of the context for video) are what the original takes from
its caller; no file of the checkpoint holds them. Every tensor of the original is used or listed as deliberately unused
in `provenance.json`; anything missing stops the conversion.

The result has {billions:.2f} billion parameters: {gigabytes:.1f} GB in bfloat16.

## Use

```bash
video-lmms ask clip.mp4 "When does the dog jump?" --model {name}-hf
```

```python
import video_lmms
from transformers import pipeline

pipe = pipeline("image-text-to-text", model="{name}-hf")
video = {{"type": "video", "path": "clip.mp4"}}
question = {{"type": "text", "text": "When does the dog jump?"}}
print(pipe(text=[{{"role": "user", "content": [video, question]}}], max_new_tokens=256, return_full_text=False))
```

The generation configuration samples and penalises repetition by {penalty}, as published. The penalty leaves the prompt
alone, as in the original; pass `do_sample=False` for greedy answers.

A video of up to 166 seconds is seen whole. A longer one gets 84 clips spread over it; several videos of a prompt share
them. The tokens of a clip depend on nothing else: those that `get_video_features` gives may be kept, and passed in
`mm_encoder_outputs` with the next question about the same video.

## Published numbers

Reported for the original code; they were not measured again for this conversion. In %.

{scores}

## Deviations from the original

Results are equal up to rounding, and tests compare them with recordings of the original code on small weights:

- the towers end at the layer whose output is used (26 of SigLIP's 27, 39 of InternVideo2's 40);
- the original's second output head, which it never called, is left out;
- clips with fewer frames than four, images, several videos, prompts without media and left-padded batches work.

## Licences

Code: Apache-2.0. Weights: they derive from {language_model}, so the [{terms}]({terms_link}) applies.

## Citation

```bibtex
{bibtex}
```
"""

BIBTEX = """\
@article{zohar2024apollo,
  title   = {Apollo: An Exploration of Video Understanding in Large Multimodal Models},
  author  = {Zohar, Orr and Wang, Xiaohan and Dubois, Yann and Mehta, Nikhil and Xiao, Tong and
             Hansen-Estruch, Philippe and Yu, Licheng and Wang, Xiaofang and Juefei-Xu, Felix and
             Zhang, Ning and Yeung-Levy, Serena and Xia, Xide},
  journal = {arXiv preprint arXiv:2412.10360},
  year    = {2024},
}"""


def build_config(checkpoint: Checkpoint) -> ApolloConfig:
    """The configuration of a checkpoint; what the three share are the defaults of [`ApolloConfig`]."""
    text = Qwen2Config(
        **checkpoint.text,
        **TOKEN_IDS,
        rope_parameters={"rope_theta": 1e6, "rope_type": "default"},
        tie_word_embeddings=checkpoint.tied,
    )
    return ApolloConfig(
        architectures=[ApolloForConditionalGeneration.__name__],
        dtype="bfloat16",
        text_config=text,
        tie_word_embeddings=checkpoint.tied,
    )


def build_generation_config(checkpoint: Checkpoint) -> GenerationConfig:
    """Sampling with the language model's own settings."""
    return GenerationConfig(**GENERATION, repetition_penalty=checkpoint.repetition_penalty)


def build_processor(checkpoint: Checkpoint) -> ApolloProcessor:
    """The processor with a stand-in for the tokenizer, which comes with the weights."""
    tokenizer = stand_in_tokenizer("<|video_token|>", "<|image_token|>")
    return ApolloProcessor(ApolloImageProcessor(), tokenizer, ApolloVideoProcessor())


def provenance(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from, and which of the values above are inferred."""
    return {
        "base_model": checkpoint.original,
        "copy": checkpoint.copy,
        "initialised_from": [
            checkpoint.language_model,
            "google/siglip-so400m-patch14-384",
            "InternVideo2 stage 2, 1B/14",
        ],
        "paper": PAPER,
        **checkpoint.licence.header,
        "known": list(KNOWN),
        "inferred": list(INFERRED),
    }


def score_table(scores: Scores) -> str:
    """Markdown of the numbers that are known."""
    names = {"apollobench": "ApolloBench", "mlvu": "MLVU", "longvideobench": "LongVideoBench"}
    names |= {"videomme": "Video-MME without / with subtitles"}
    known = {names[field]: value for field, value in scores._asdict().items() if value is not None}
    rows = [list(known), ["---"] * len(known), list(known.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def model_card(name: str, checkpoint: Checkpoint) -> str:
    """The text of `README.md`."""
    parameters = count_parameters(build_config(checkpoint))
    body = CARD.format(
        name=name,
        original=checkpoint.original,
        copy=checkpoint.copy,
        language_model=checkpoint.language_model,
        paper=PAPER,
        billions=parameters / 1e9,
        gigabytes=2 * parameters / 1e9,
        penalty=checkpoint.repetition_penalty,
        scores=score_table(checkpoint.scores),
        terms=checkpoint.licence.name,
        terms_link=checkpoint.licence.link,
        bibtex=BIBTEX,
    )
    return render_card(checkpoint.original, ["apollo"], checkpoint.licence, body)
