# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A LongVU of half a million parameters for the synthetic world: it finds what flashes once in a long clip.

Frames are 2 x 2 tokens, or one at low resolution, and two are taken per second; windows, groups and all other rules
are the published model's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from video_lmms.data.scenes import Scene, Thing
from video_lmms.modeling.configuration_longvu import LongvuConfig
from video_lmms.modeling.modeling_longvu import LongvuForConditionalGeneration
from video_lmms.processing.image_processing_longvu import LongvuImageProcessor
from video_lmms.processing.processing_longvu import LongvuProcessor
from video_lmms.processing.video_processing_longvu import LongvuVideoProcessor


SPECIAL_TOKENS = ("<pad>", "<|im_end|>", "<unk>", "<|im_start|>", "<image>")
WORDS = ("system", "you", "are", "a", "helpful", "assistant", ".", "user")
KINDS = ("colour", "needle")
RECIPE: dict[str, float] = {"clips": 600, "turns": 2, "steps": 700, "batch_size": 32, "held_out": 100}
# Per clip of the other kind, and how many seconds they last. What flashes is learnt from few frames, where it is soon
# found; that it is one thing among many, from more of them.
LONG_CLIPS = ((2.0, (3.0, 8.0)), (1.0, (8.0, 45.0)))
# A yellow triangle that flashes once in the minute of a blue circle.
EXAMPLE = Scene(
    things=(
        Thing("circle", "blue", (40, 80, 235), 0.12, ((0.0, 0.3, 0.3), (0.5, 0.35, 0.35), (1.0, 0.3, 0.4))),
        Thing("triangle", "yellow", (245, 230, 30), 0.16, ((0.0, 0.7, 0.65),), appears=0.6, vanishes=0.625),
    ),
    background=(20, 20, 20),
    num_frames=480,
)

FPS = 2.0
SIGLIP_SIZE, DINOV2_SIZE, PATCH_SIZE = 48, 36, 12
GRID_SIZE = 4
CONTEXT_LENGTH = 256
# What model and processor must agree on.
SHARED = {"image_token_len": 4, "lowres_token": 1, "context_length": CONTEXT_LENGTH}
# Between frames of one window in which nothing or only a slow thing moves, and frames with something new.
DINO_THRESHOLD = 0.93
DROP_THRESHOLD = 0.95
INITIALIZER_RANGE = 0.1
# Visual tokens of a training clip at most, drawn anew each time.
ROOM = (40, 220)


def build_processor(
    tokenizer: PreTrainedTokenizerFast, mean: Sequence[float], std: Sequence[float]
) -> LongvuProcessor:
    """The processor for clips of the synthetic world.

    Args:
        tokenizer: with `SPECIAL_TOKENS`.
        mean: of the world's pixels per channel, in [0, 1]; standard deviation likewise.
        std: see `mean`.
    """
    pixels = {
        "size": {"height": SIGLIP_SIZE, "width": SIGLIP_SIZE},
        "image_mean": list(mean),
        "image_std": list(std),
        "size_dinov2": {"height": DINOV2_SIZE, "width": DINOV2_SIZE},
        "image_mean_dinov2": list(mean),
        "image_std_dinov2": list(std),
    }
    return LongvuProcessor(
        image_processor=LongvuImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=LongvuVideoProcessor(fps=FPS, **pixels),
        **SHARED,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LongvuForConditionalGeneration:
    """The untrained model; seed torch before."""
    tower = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": PATCH_SIZE}
    dinov2 = {
        **tower,
        "image_size": DINOV2_SIZE,
        "mlp_ratio": 2,
        # The published value suits forty layers that are already trained.
        "layerscale_value": 1.0,
        "initializer_range": INITIALIZER_RANGE,
    }
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    text = {
        "model_type": "qwen2",
        "vocab_size": len(tokenizer),
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 16 * CONTEXT_LENGTH,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
        "initializer_range": INITIALIZER_RANGE,
        **ids,
    }
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    config = LongvuConfig(
        vision_config={**tower, "image_size": SIGLIP_SIZE, "intermediate_size": 128},
        dinov2_config=dinov2,
        text_config=text,
        image_token_id=image_id,
        video_token_id=image_id,
        grid_size=GRID_SIZE,
        vision_hidden_size=64,
        connector_depth=1,
        aggregator_heads=4,
        dino_threshold=DINO_THRESHOLD,
        drop_threshold=DROP_THRESHOLD,
        initializer_range=INITIALIZER_RANGE,
        **SHARED,
    )
    model = LongvuForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ids)
    return model


def vary_budget(batch: dict[str, Any]) -> dict[str, Any]:
    """Leaves every video random room, so that all stages of the reduction are met in training."""
    low, high = torch.tensor(ROOM).log().tolist()
    room = torch.empty(len(batch["num_text_tokens"])).uniform_(low, high).exp().long()
    return {**batch, "context_budgets": batch["num_text_tokens"] + room}
