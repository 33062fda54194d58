# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A random Video-LLaMA of 200,000 parameters, ears included, with a real tokenizer."""

from __future__ import annotations

from typing import Any

import torch
from checkout import ROOT
from transformers import GenerationConfig, PreTrainedTokenizerFast

from video_lmms.conversion_scripts.convert_video_llama import PLACEHOLDERS, read_tokenizer, stop_sequences
from video_lmms.modeling.configuration_video_llama import VideoLlamaConfig
from video_lmms.modeling.modeling_video_llama import VideoLlamaForConditionalGeneration
from video_lmms.processing.feature_extraction_video_llama import VideoLlamaFeatureExtractor
from video_lmms.processing.image_processing_video_llama import VideoLlamaImageProcessor
from video_lmms.processing.processing_video_llama import VideoLlamaProcessor
from video_lmms.processing.video_processing_video_llama import VideoLlamaVideoProcessor


GOLDENS = ROOT / "tests" / "goldens" / "video_llama"
VICUNA = GOLDENS / "vicuna_audiovideo" / "checkpoint" / "vicuna-7b"
LLAMA_2 = GOLDENS / "llama2chat_image1" / "checkpoint" / "llama-2-7b-chat-hf"
IMAGE_SIZE = 28
VIDEO_TOKENS, AUDIO_TOKENS, MAX_FRAMES = 5, 3, 10


def tiny_tokenizer(folder: Any = VICUNA) -> PreTrainedTokenizerFast:
    return read_tokenizer(folder)


def tiny_config(**options: Any) -> VideoLlamaConfig:
    """All widths differ, so that no part fits another's place."""
    tokenizer = tiny_tokenizer()
    known = len(tokenizer) - len(PLACEHOLDERS)
    tower = {"num_hidden_layers": 2, "num_attention_heads": 2}
    reader = {
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": 1,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_hidden_layers": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    image_id, audio_id, video_id = tokenizer.convert_tokens_to_ids(list(PLACEHOLDERS))
    fields = {
        "vision_config": tower
        | {"hidden_size": 24, "intermediate_size": 36, "image_size": IMAGE_SIZE, "initializer_range": 0.02},
        "qformer_config": reader | {"encoder_hidden_size": 24},
        "video_qformer_config": reader | {"encoder_hidden_size": 32, "cross_attention_frequency": 1},
        "audio_config": tower | {"hidden_size": 20, "intermediate_size": 28, "projection_dim": 12},
        "audio_qformer_config": reader | {"encoder_hidden_size": 12, "cross_attention_frequency": 1},
        "text_config": text,
        "image_token_id": image_id,
        "audio_token_id": audio_id,
        "video_token_id": video_id,
        "output_vocab_size": known,
        "stop_sequences": stop_sequences(tokenizer),
        "num_query_tokens": 4,
        "num_video_query_tokens": VIDEO_TOKENS,
        "num_audio_query_tokens": AUDIO_TOKENS,
        "max_frames": MAX_FRAMES,
    }
    return VideoLlamaConfig(**(fields | options))


def tiny_model(**options: Any) -> VideoLlamaForConditionalGeneration:
    """Always the same weights, large enough for answers that do not hang on rounding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VideoLlamaForConditionalGeneration(tiny_config(**options))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    text = model.config.text_config
    ids = {name: getattr(text, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    placeholders = [getattr(model.config, f"{kind}_token_id") for kind in ("image", "audio", "video")]
    model.generation_config = GenerationConfig(**ids, suppress_tokens=placeholders)
    return model.eval()


def tiny_processor(style: str = "vicuna") -> VideoLlamaProcessor:
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return VideoLlamaProcessor(
        image_processor=VideoLlamaImageProcessor(size=size),
        tokenizer=tiny_tokenizer(VICUNA if style == "vicuna" else LLAMA_2),
        video_processor=VideoLlamaVideoProcessor(size=size),
        feature_extractor=VideoLlamaFeatureExtractor(),
        prompt_style=style,
        num_video_query_tokens=VIDEO_TOKENS,
        num_audio_query_tokens=AUDIO_TOKENS,
    )
