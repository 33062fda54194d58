# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The toy's one published checkpoint."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import GenerationConfig, LlamaConfig

from video_lmms.modeling.configuration_toy import ToyConfig
from video_lmms.processing.processing_toy import ToyProcessor
from video_lmms.processing.video_processing_toy import ToyVideoProcessor

from .checkpoints import APACHE_2, render_card, stand_in_tokenizer


class Checkpoint(NamedTuple):
    """One published folder."""

    hidden_size: int


CHECKPOINTS = {"toy-mini": Checkpoint(hidden_size=32)}


def build_config(checkpoint: Checkpoint) -> ToyConfig:
    """The configuration of a checkpoint."""
    text = LlamaConfig(
        vocab_size=8,
        hidden_size=checkpoint.hidden_size,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    return ToyConfig(text_config=text, architectures=["ToyForConditionalGeneration"], dtype="float32")


def build_generation_config(checkpoint: Checkpoint) -> GenerationConfig:
    """Greedy."""
    return GenerationConfig()


def build_processor(checkpoint: Checkpoint) -> ToyProcessor:
    """The processor with a stand-in for the tokenizer, which comes with the weights."""
    return ToyProcessor(stand_in_tokenizer("<video>"), ToyVideoProcessor(), tokens_per_video=4)


def provenance(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from."""
    return {"base_model": f"example/{name}", "code_license": "apache-2.0", **APACHE_2.header}


def model_card(name: str, checkpoint: Checkpoint) -> str:
    """The text of `README.md`."""
    return render_card(f"example/{name}", ["toy"], APACHE_2, f"# {name}\n")
