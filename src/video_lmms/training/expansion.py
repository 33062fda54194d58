# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Training models that decide by themselves how many tokens a video gets (LongVU).

A collator cannot know the number, for it depends on weights that are being trained. So the batch keeps one placeholder
per video until the step, and the step makes room; [`VideoSFTTrainer`] does so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from transformers import PreTrainedModel


_METHOD = "expand_video_tokens"


def expand_videos(
    model: PreTrainedModel, batch: dict[str, Any], wrapped: torch.nn.Module | None = None
) -> dict[str, Any]:
    """Makes room in a batch of prompts and labels for the videos, with the model's current weights.

    Args:
        model: any; those that need no expansion get the batch back.
        batch: with one placeholder per video, as a collator leaves it.
        wrapped: the model as training wraps it. Where FSDP2 shards it, weights are gathered around calls of this.

    Returns:
        the batch with longer `input_ids`, `attention_mask` and `labels`, and with the `video_selection` that makes
        forward keep, with gradients, what the text has room for.
    """
    if not hasattr(model, _METHOD) or "pixel_values_videos" not in batch:
        return batch
    if isinstance(wrapped, FSDPModule):
        if _METHOD not in vars(wrapped):
            register_fsdp_forward_method(wrapped, _METHOD)
        model = wrapped
    with torch.no_grad():
        expansion = model.expand_video_tokens(**batch)
    return {**batch, **expansion.text, "video_selection": expansion.video_selection}


__all__ = ["expand_videos"]
