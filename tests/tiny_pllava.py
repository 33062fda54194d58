# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A random PLLaVA of 180,000 parameters with a real tokenizer, for tests that need no sensible answer."""

from __future__ import annotations

import torch
from checkout import ROOT
from transformers import PreTrainedTokenizerFast

from video_lmms.modeling.configuration_pllava import PllavaConfig
from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration
from video_lmms.processing.image_processing_pllava import PllavaImageProcessor
from video_lmms.processing.processing_pllava import PllavaProcessor
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor


ORIGINAL = ROOT / "tests" / "goldens" / "pllava" / "published_sharded" / "checkpoint"
DELTA = ROOT / "tests" / "goldens" / "pllava" / "lora_delta_gqa" / "checkpoint" / "weights_dir"
BASE = ROOT / "tests" / "goldens" / "pllava" / "lora_delta_gqa" / "checkpoint" / "model_dir"
POOLING_SHAPE = [4, 2, 2]
NUM_FRAMES = 6
_IMAGE_ID, _PAD_ID = 400, 401


def tiny_config() -> PllavaConfig:
    return PllavaConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "image_size": 56,
            "patch_size": 14,
            "projection_dim": 24,
        },
        text_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_hidden_layers": 2,
            "vocab_size": 448,
            "max_position_embeddings": 4096,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": _PAD_ID,
        },
        image_token_id=_IMAGE_ID,
        video_token_id=_IMAGE_ID,
        pooling_shape=POOLING_SHAPE,
    )


def tiny_model() -> PllavaForConditionalGeneration:
    """Always the same weights, large enough for answers that do not hang on rounding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PllavaForConditionalGeneration(tiny_config())
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    # A placeholder in an answer could not be told from a video's.
    model.generation_config.suppress_tokens = [_IMAGE_ID, _PAD_ID]
    return model.eval()


def tiny_processor() -> PllavaProcessor:
    size, crop_size = {"shortest_edge": 56}, {"height": 56, "width": 56}
    return PllavaProcessor(
        image_processor=PllavaImageProcessor(size=size, crop_size=crop_size),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(ORIGINAL, padding_side="left"),
        video_processor=PllavaVideoProcessor(num_frames=NUM_FRAMES, size=size, crop_size=crop_size),
        pooling_shape=POOLING_SHAPE,
    )
