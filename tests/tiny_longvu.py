# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A random LongVU of 150,000 parameters with a real tokenizer, for tests that need no sensible answer."""

from __future__ import annotations

import torch
from checkout import ROOT

from video_lmms.conversion_scripts.convert_longvu import build_processor, load_tokenizer
from video_lmms.modeling.configuration_longvu import LongvuConfig
from video_lmms.modeling.modeling_longvu import LongvuForConditionalGeneration
from video_lmms.processing.processing_longvu import LongvuProcessor


ORIGINAL = ROOT / "tests" / "goldens" / "longvu" / "qwen2_video_144_8" / "checkpoint"
SIGLIP_SIZE, DINOV2_SIZE = 32, 24
CONTEXT_LENGTH = 160


def tiny_config(**options: object) -> LongvuConfig:
    """Grids of 4 x 4 and 3 x 3 patches, 2 x 2 tokens per frame or one; a dozen frames fit the context."""
    tokenizer = load_tokenizer(ORIGINAL)
    tower = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2, "patch_size": 8}
    text = {
        "model_type": "qwen2",
        "vocab_size": 320,
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
    fields = {
        "vision_config": {**tower, "image_size": SIGLIP_SIZE, "intermediate_size": 48},
        "dinov2_config": {**tower, "image_size": DINOV2_SIZE, "mlp_ratio": 2},
        "text_config": text,
        "image_token_id": len(tokenizer),
        "video_token_id": len(tokenizer),
        "grid_size": 4,
        "vision_hidden_size": 32,
        "connector_depth": 2,
        "aggregator_heads": 4,
        "image_token_len": 4,
        "lowres_token": 1,
        "dino_threshold": 0.7,
        "context_length": CONTEXT_LENGTH,
    }
    return LongvuConfig(**(fields | options))


def tiny_model(**options: object) -> LongvuForConditionalGeneration:
    """Always the same weights, large enough for answers that do not hang on rounding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LongvuForConditionalGeneration(tiny_config(**options))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    # A placeholder in an answer could not be told from a video's.
    config = model.config
    model.generation_config.suppress_tokens = [config.video_token_id, config.text_config.pad_token_id]
    return model.eval()


def tiny_processor() -> LongvuProcessor:
    return build_processor(load_tokenizer(ORIGINAL), tiny_config(), SIGLIP_SIZE, DINOV2_SIZE)
