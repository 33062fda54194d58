# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A grounding bridge of a few thousand weights, on frames of 64 x 64."""

import torch

from video_lmms.modeling.configuration_videotgb_grounding import VideotgbGroundingConfig
from video_lmms.modeling.modeling_videotgb_grounding import VideotgbGroundingBridge


SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
    "fusion_layer": 1,
    "flow_size": 64,
    "flow_chunk_size": 3,
    "num_flow_updates": 3,
    "raft_encoder_widths": [8, 8, 12, 12, 16],
    "raft_hidden_size": 12,
    "raft_context_size": 8,
    "raft_corr_levels": 3,
    "raft_corr_radius": 2,
    "raft_corr_widths": [12, 8],
    "raft_flow_widths": [8, 8],
    "raft_motion_size": 12,
    "raft_head_size": 8,
}


def tiny_grounding_config(**changes):
    """A configuration with every size unlike the published one."""
    return VideotgbGroundingConfig(**(SIZES | changes))


def tiny_bridge(seed=0, **changes):
    """A bridge with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return VideotgbGroundingBridge(tiny_grounding_config(**changes)).eval()
