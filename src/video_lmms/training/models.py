# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Models as training wants them: complete, on the CPU until the trainer places them, or in 4 bits where they stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from video_lmms.errors import VideoLmmError
from video_lmms.hub.loading import KEPT_IN_FULL, load


if TYPE_CHECKING:
    from transformers import PreTrainedModel, ProcessorMixin
    from trl import ModelConfig


def load_for_training(arguments: ModelConfig) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Loads what a recipe names.

    Args:
        arguments: TRL's model arguments: name or folder, dtype, attention, 4-bit or 8-bit.

    Raises:
        VideoLmmError: no model is named, or it cannot be loaded completely; see [`load`].
    """
    from trl import get_quantization_config

    if not arguments.model_name_or_path:
        raise VideoLmmError("The recipe names no model. Set model_name_or_path to a folder, a Hub id or tiny-pllava.")
    quantization = get_quantization_config(arguments)
    options = {"device": "cpu"}
    if quantization is not None:
        quantization.llm_int8_skip_modules = [KEPT_IN_FULL]
        options = {"device": None, "quantization_config": quantization}
    return load(
        arguments.model_name_or_path,
        dtype=arguments.dtype or "float32",
        attn_implementation=arguments.attn_implementation,
        **options,
    )


__all__ = ["load_for_training"]
