# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""An Apollo of half a million parameters for the synthetic world: it tells when things happen.

Its clips last one second instead of two, so that the world's videos of two to three seconds have several.
"""

import re
from collections.abc import Sequence

from transformers import GenerationConfig, PreTrainedTokenizerFast

from video_lmms.data.scenes import Scene, Thing
from video_lmms.modeling.configuration_apollo import ApolloConfig
from video_lmms.modeling.modeling_apollo import ApolloForConditionalGeneration
from video_lmms.processing.chat_templates_apollo import SYSTEM, number_in_words, video_preamble
from video_lmms.processing.image_processing_apollo import ApolloImageProcessor
from video_lmms.processing.processing_apollo import ApolloProcessor
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor


SPECIAL_TOKENS = ("<pad>", "<|im_end|>", "<unk>", "<|im_start|>", "<|video_token|>", "<|image_token|>")
# Those of the prompt: the numbers of clips up to any thousand, and the preamble with its digits.
_PROMPT = " ".join(
    [
        "user assistant system",
        SYSTEM,
        video_preamble([(0.0, 1.0)], 0.5, 1, ""),
        *map(number_in_words, [*range(100), 1234]),
        *map(str, range(10)),
    ]
)
WORDS = tuple(sorted(set(re.findall(r"\d|[^\W\d]+|[^\w\s]", _PROMPT.lower()))))
KINDS = ("when", "colour")
RECIPE = {"clips": 2000, "steps": 1000, "batch_size": 16, "turns": 2}
# A blue square that appears in the middle.
EXAMPLE = Scene(
    things=(Thing("square", "blue", (40, 80, 235), 0.18, ((0.0, 0.6, 0.4),), appears=0.45),),
    background=(20, 20, 20),
    num_frames=24,
)

CLIP_DURATION = 1
TOKENS_PER_CLIP = 8
CONTEXT_LENGTH = 2048
SIGLIP_SIZE, SIGLIP_PATCH = 48, 12
INTERNVIDEO2_SIZE, INTERNVIDEO2_PATCH = 36, 12
INITIALIZER_RANGE = 0.1


def build_processor(
    tokenizer: PreTrainedTokenizerFast, mean: Sequence[float], std: Sequence[float]
) -> ApolloProcessor:
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
        "internvideo2_size": INTERNVIDEO2_SIZE,
        "internvideo2_mean": list(mean),
        "internvideo2_std": list(std),
    }
    return ApolloProcessor(
        image_processor=ApolloImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=ApolloVideoProcessor(
            clip_duration=CLIP_DURATION, tokens_per_clip=TOKENS_PER_CLIP, context_length=CONTEXT_LENGTH, **pixels
        ),
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> ApolloForConditionalGeneration:
    """The untrained model; seed torch before."""
    siglip = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "image_size": SIGLIP_SIZE,
        "patch_size": SIGLIP_PATCH,
        "vision_use_head": False,
    }
    internvideo2 = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "image_size": INTERNVIDEO2_SIZE,
        "patch_size": INTERNVIDEO2_PATCH,
        # The published value suits forty layers that are already trained.
        "layer_scale_init_value": 1.0,
        "initializer_range": INITIALIZER_RANGE,
    }
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 3,
        "max_position_embeddings": 2 * CONTEXT_LENGTH,
        "initializer_range": INITIALIZER_RANGE,
        **ids,
    }
    config = ApolloConfig(
        vision_config={"siglip_config": siglip, "internvideo2_config": internvideo2},
        resampler_config={
            "hidden_size": text["hidden_size"],
            "intermediate_size": 192,
            "num_latents": TOKENS_PER_CLIP,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 24,
        },
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_token|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_token|>"),
        initializer_range=INITIALIZER_RANGE,
    )
    model = ApolloForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ids)
    return model
