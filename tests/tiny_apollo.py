# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A random Apollo of 150,000 parameters with a real tokenizer, for tests that need no sensible answer."""

from __future__ import annotations

import torch
from checkout import ROOT

from video_lmms.conversion_scripts.convert_apollo import build_tokenizer
from video_lmms.modeling.configuration_apollo import ApolloConfig
from video_lmms.modeling.modeling_apollo import ApolloForConditionalGeneration
from video_lmms.processing.image_processing_apollo import ApolloImageProcessor
from video_lmms.processing.processing_apollo import ApolloProcessor
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor


ORIGINAL = ROOT / "tests" / "goldens" / "apollo" / "tied_two_videos" / "checkpoint"
SIGLIP_SIZE, INTERNVIDEO2_SIZE = 30, 24
TOKENS_PER_CLIP = 5
VOCAB_SIZE = 400
VIDEO_TOKEN, IMAGE_TOKEN = "<|video_token|>", "<|image_token|>"


def tiny_config(**options: object) -> ApolloConfig:
    """The towers' grids differ (3 x 3 and 2 x 2), and so do their widths."""
    tokenizer, _, _ = build_tokenizer(ORIGINAL / "llm", VOCAB_SIZE)
    vision = {
        "siglip_config": {
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "image_size": SIGLIP_SIZE,
            "patch_size": 10,
            "vision_use_head": False,
        },
        "internvideo2_config": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "image_size": INTERNVIDEO2_SIZE,
            "patch_size": 12,
            "layer_scale_init_value": 1.0,
        },
    }
    text = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    resampler = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_latents": TOKENS_PER_CLIP,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    fields = {
        "vision_config": vision,
        "resampler_config": resampler,
        "text_config": text,
        "image_token_id": tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        "video_token_id": tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
    }
    return ApolloConfig(**(fields | options))


def tiny_model(**options: object) -> ApolloForConditionalGeneration:
    """Always the same weights, large enough for answers that do not hang on rounding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ApolloForConditionalGeneration(tiny_config(**options))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    # A placeholder in an answer could not be told from a video's.
    config = model.config
    model.generation_config.suppress_tokens = [
        config.image_token_id,
        config.video_token_id,
        config.text_config.pad_token_id,
    ]
    return model.eval()


def tiny_processor() -> ApolloProcessor:
    sizes = {"size": {"height": SIGLIP_SIZE, "width": SIGLIP_SIZE}, "internvideo2_size": INTERNVIDEO2_SIZE}
    tokenizer, _, _ = build_tokenizer(ORIGINAL / "llm", VOCAB_SIZE)
    return ApolloProcessor(
        image_processor=ApolloImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=ApolloVideoProcessor(tokens_per_clip=TOKENS_PER_CLIP, context_length=2048, **sizes),
    )
