# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A PLLaVA of three quarters of a million parameters for the synthetic world."""

from collections.abc import Sequence

from transformers import GenerationConfig, PreTrainedTokenizerFast

from video_lmms.data.scenes import Scene, Thing
from video_lmms.modeling.configuration_pllava import PllavaConfig
from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration
from video_lmms.processing.image_processing_pllava import PllavaImageProcessor
from video_lmms.processing.processing_pllava import PllavaProcessor
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor


SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>", "<image>")
WORDS = ("user", "assistant")
KINDS = ("direction", "colour", "shape", "order")
RECIPE: dict[str, float] = {}
# A red circle that moves to the left.
EXAMPLE = Scene(
    things=(Thing("circle", "red", (230, 30, 30), 0.14, ((0.0, 0.8, 0.5), (1.0, 0.2, 0.5))),),
    background=(20, 20, 20),
    num_frames=24,
)

IMAGE_SIZE = 48
NUM_FRAMES = 8
POOLING_SHAPE = [8, 4, 4]
# The library's 0.02 suits wide models; at this width it leaves training on its first plateau.
INITIALIZER_RANGE = 0.1


def build_processor(
    tokenizer: PreTrainedTokenizerFast, mean: Sequence[float], std: Sequence[float]
) -> PllavaProcessor:
    """The processor for clips of the synthetic world.

    Args:
        tokenizer: with `<image>`.
        mean: of the world's pixels per channel, in [0, 1]; standard deviation likewise.
        std: see `mean`. Matching them matters: with CLIP's the tiny tower learns nothing.
    """
    pixels = {
        "size": {"shortest_edge": IMAGE_SIZE},
        "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "image_mean": list(mean),
        "image_std": list(std),
    }
    return PllavaProcessor(
        image_processor=PllavaImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=PllavaVideoProcessor(num_frames=NUM_FRAMES, **pixels),
        pooling_shape=POOLING_SHAPE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> PllavaForConditionalGeneration:
    """The untrained model; seed torch before."""
    vision = {
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "image_size": IMAGE_SIZE,
        "patch_size": 12,
        "projection_dim": 96,
        "initializer_range": INITIALIZER_RANGE,
    }
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_hidden_layers": 3,
        "max_position_embeddings": 1024,
        "initializer_range": INITIALIZER_RANGE,
        **ids,
    }
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    config = PllavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=image_id,
        video_token_id=image_id,
        pooling_shape=POOLING_SHAPE,
        initializer_range=INITIALIZER_RANGE,
    )
    model = PllavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ids)
    return model
