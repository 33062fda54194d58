# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a video costs LongVU at most: what it shows decides on the rest, and an estimate never looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel
from transformers.video_utils import VideoMetadata

from video_lmms.modeling.modeling_longvu_compression import choose_stage, crop_box, highres_quota
from video_lmms.modeling.modeling_longvu_frames import Budget


if TYPE_CHECKING:
    from .estimation import MetaInput


def encode_most(
    model: PreTrainedModel, inputs: dict[str, MetaInput], video: VideoMetadata, text_tokens: int
) -> torch.Tensor:
    """Features (tokens, dim) on the meta device of a video of which nothing repeats, as long as the context allows.

    DINOv2 sees every sampled frame, chunk by chunk; SigLIP and the aggregator see those that can be kept.

    Args:
        model: on the meta device.
        inputs: what the video processor would give.
        video: what is known of it.
        text_tokens: of the prompt.
    """
    base, config = model.base_model, model.config
    room = config.context_length - config.reserve - text_tokens
    budget = Budget(room, room)
    num_frames = int(inputs["num_frames"].counts)
    thinned = num_frames >= base.frame_capacity(budget) and num_frames >= config.selection_window
    kept = min(num_frames, config.max_frames) if thinned else num_frames

    def pixels(name: str, frames: int) -> torch.Tensor:
        return torch.empty(frames, *inputs[name].shape[1:], dtype=model.dtype, device="meta")

    for first in range(0, num_frames, config.vision_chunk_size):
        chunk = min(config.vision_chunk_size, num_frames - first)
        base.encode_dinov2(pixels("pixel_values_videos_dinov2", chunk))
    maps = torch.empty(kept, config.grid_size**2, config.dinov2_config.hidden_size, dtype=model.dtype, device="meta")
    window = (config.grid_size // config.token_side) ** 2
    mask = torch.ones(kept, config.image_token_len, window, dtype=torch.bool, device="meta")
    siglip, dinov2 = (pixels(f"pixel_values_videos{tower}", kept) for tower in ("", "_dinov2"))
    grids = base.encode_frames(siglip, dinov2, mask, maps).last_hidden_state

    size = (video.height, video.width) if video.height else tuple(inputs["video_sizes"].counts[0].tolist())
    lowres = config.lowres_token**2
    stage = choose_stage(kept, budget.selection, config.image_token_len, lowres)
    tokens = base.frame_tokens(grids, size, lowres=config.highres and stage == "mix")
    count = tokens.shape[0] * tokens.shape[1]
    if config.highres and stage == "mix":
        full = crop_box(size, config.token_side).num_tokens
        raised = highres_quota(kept, budget.tokens, full, tokens.shape[1])
        base.frame_tokens(grids[:raised], size, lowres=False)
        count += raised * (full - tokens.shape[1])
    return tokens.new_empty(min(count, budget.tokens), tokens.shape[-1])
