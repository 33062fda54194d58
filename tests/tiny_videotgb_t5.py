# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A random VideoTGB of a hundred thousand weights, encoder-decoder form, for tests that need no sensible answer."""

from __future__ import annotations

import torch
from checkout import ROOT
from tiny_videotgb import (
    BERT_VOCAB,
    NUM_FRAMES,
    QFORMER,
    QUERY_TOKENS,
    VISION,
    processor_parts,
    randomize,
    tiny_tokenizer,
)
from tiny_videotgb_grounding import tiny_grounding_config

from video_lmms.modeling.configuration_videotgb_t5 import VideotgbT5Config
from video_lmms.modeling.modeling_videotgb_t5 import VideotgbT5ForConditionalGeneration
from video_lmms.processing.chat_templates_videotgb import IMAGE_TOKEN, VIDEO_TOKEN
from video_lmms.processing.processing_videotgb import VideotgbT5Processor


TOKENIZER = ROOT / "tests/goldens/videotgb/blip2_flant5_eval/checkpoint/ckpts/blip2-flan-t5-xl"


def tiny_config(**options: object) -> VideotgbT5Config:
    tokenizer = tiny_tokenizer(TOKENIZER, side="right")
    text = {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 40,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "relative_attention_num_buckets": 8,
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
    }
    fields = {
        "vision_config": VISION,
        "qformer_config": QFORMER,
        "grounding_config": tiny_grounding_config(
            vocab_size=BERT_VOCAB, max_position_embeddings=160, mode="fusion", span_mapping="last_frame"
        ),
        "text_config": text,
        "image_token_id": tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        "video_token_id": tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        "num_query_tokens": QUERY_TOKENS,
        "num_frames": NUM_FRAMES,
        "num_output_tokens": len(tokenizer) - 2,
        "vision_chunk_size": 3,
    }
    return VideotgbT5Config(**(fields | options))


def tiny_model(**options: object) -> VideotgbT5ForConditionalGeneration:
    """Always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return randomize(VideotgbT5ForConditionalGeneration(tiny_config(**options)))


def tiny_processor(**options: object) -> VideotgbT5Processor:
    return VideotgbT5Processor(tokenizer=tiny_tokenizer(TOKENIZER, side="right"), **(processor_parts() | options))
