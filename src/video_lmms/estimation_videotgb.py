# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a video costs VideoTGB: which frames are chosen depends on content, how many does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel
from transformers.video_utils import VideoMetadata

from video_lmms.processing.processing_videotgb import TEXT_LENGTH


if TYPE_CHECKING:
    from .estimation import MetaInput


def encode_chosen(
    model: PreTrainedModel, inputs: dict[str, MetaInput], video: VideoMetadata, text_tokens: int
) -> torch.Tensor:
    """Features (tokens, dim) of one video on the meta device.

    Flow and bridge run over the whole clip; tower and Q-Former see as many distinct frames as can be chosen.

    Args:
        model: on the meta device.
        inputs: what the video processor would give.
        video: what is known of it.
        text_tokens: of the prompt; question and prompt are taken to be as long for the readers beside it.
    """
    base, config = model.base_model, model.config
    given = {name: value.build(model.dtype) for name, value in inputs.items()}
    (cache,) = base.get_video_cache(**given)
    words = torch.empty(1, min(text_tokens, TEXT_LENGTH), dtype=torch.long, device="meta")
    if cache.flow_features is not None:
        base.grounding(cache.flow_features.unsqueeze(0), input_ids=words)
    features = base.encode_frames(cache.candidates[: config.num_frames]).last_hidden_state
    owners = torch.zeros(len(features), dtype=torch.long, device="meta")
    queries = base.query_frames(features, owners, words, None)
    if config.frame_merge == "mean":
        queries = queries.mean(0, keepdim=True)
    return base.multi_modal_projector(queries.to(base.multi_modal_projector.weight.dtype)).flatten(0, 1)
