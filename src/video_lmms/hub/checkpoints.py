# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the modules of published checkpoints (`checkpoints_<model>.py`) share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from huggingface_hub import ModelCard, ModelCardData
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForMultimodalLM, PreTrainedConfig, PreTrainedTokenizerFast


class Terms(NamedTuple):
    """Licence of the weights: its name, its text, and what goes into a card's header."""

    name: str
    link: str
    header: dict[str, str]


APACHE_2 = Terms("Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0.txt", {"license": "apache-2.0"})
LLAMA_2 = Terms(
    "Llama 2 Community License",
    "https://huggingface.co/meta-llama/Llama-2-7b-hf/blob/main/LICENSE.txt",
    {"license": "llama2"},
)


def stand_in_tokenizer(*special_tokens: str) -> PreTrainedTokenizerFast:
    """In place of the real one, which comes with the weights: it knows its special tokens and nothing else."""
    words = {word: number for number, word in enumerate(("<unk>", *special_tokens))}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, "<unk>")))


def count_parameters(config: PreTrainedConfig) -> int:
    """Parameters of the model of a configuration, tied ones once, without allocating them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in AutoModelForMultimodalLM.from_config(config).parameters())


def render_card(base_model: str, tags: Sequence[str], terms: Terms, body: str) -> str:
    """The text of `README.md`: the Hub's header, then `body`.

    Args:
        base_model: Hub id of the original.
        tags: besides those of every model here.
        terms: licence of the weights.
        body: Markdown.
    """
    header = ModelCardData(
        base_model=base_model,
        library_name="transformers",
        pipeline_tag="video-text-to-text",
        tags=["video", "video-lmms", *tags],
        **terms.header,
    )
    return str(ModelCard(f"---\n{header.to_yaml()}\n---\n{body}")).rstrip() + "\n"
