# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A random VideoTGB of a hundred thousand weights, decoder-only form, for tests that need no sensible answer."""

from __future__ import annotations

import torch
from checkout import ROOT
from tiny_videotgb_grounding import tiny_grounding_config
from transformers import PreTrainedTokenizerFast

from video_lmms.modeling.configuration_videotgb import VideotgbConfig
from video_lmms.modeling.modeling_videotgb import VideotgbForConditionalGeneration
from video_lmms.processing.chat_templates_videotgb import IMAGE_TOKEN, VIDEO_TOKEN
from video_lmms.processing.image_processing_videotgb import VideotgbImageProcessor
from video_lmms.processing.processing_videotgb import VideotgbProcessor
from video_lmms.processing.video_processing_videotgb import VideotgbVideoProcessor


ORIGINAL = ROOT / "tests" / "goldens" / "videotgb" / "instructblip_vicuna_eval" / "checkpoint" / "ckpts"
SIZE = 64
QUERY_TOKENS, NUM_FRAMES, CANDIDATES = 3, 2, 8
BERT_VOCAB = 129
VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": 16,
    "initializer_range": 0.02,
}
QFORMER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "encoder_hidden_size": 24,
    "max_position_embeddings": 160,
    "vocab_size": BERT_VOCAB,
}


def tiny_tokenizer(folder: str = "instructblip-vicuna-7b", side: str = "left") -> PreTrainedTokenizerFast:
    """The original's, with both placeholders."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(ORIGINAL / folder, padding_side=side)
    tokenizer.add_tokens([IMAGE_TOKEN, VIDEO_TOKEN], special_tokens=True)
    return tokenizer


def tiny_config(**options: object) -> VideotgbConfig:
    tokenizer = tiny_tokenizer()
    text = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    fields = {
        "vision_config": VISION,
        "qformer_config": QFORMER,
        "grounding_config": tiny_grounding_config(vocab_size=BERT_VOCAB, max_position_embeddings=160),
        "text_config": text,
        "image_token_id": tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        "video_token_id": tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        "num_query_tokens": QUERY_TOKENS,
        "num_frames": NUM_FRAMES,
        "num_output_tokens": len(tokenizer) - 2,
        "vision_chunk_size": 3,
    }
    return VideotgbConfig(**(fields | options))


def randomize(model: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough for answers that do not hang on rounding; those of flow stay small, or nothing would."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "flow_model" not in name:
            torch.nn.init.normal_(parameter, std=0.15)
    config = model.config
    model.generation_config.suppress_tokens = [config.image_token_id, config.video_token_id]
    return model.eval()


def tiny_model(**options: object) -> VideotgbForConditionalGeneration:
    """Always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return randomize(VideotgbForConditionalGeneration(tiny_config(**options)))


def processor_parts() -> dict:
    """What the processors of both forms share."""
    size = {"height": SIZE, "width": SIZE}
    return {
        "image_processor": VideotgbImageProcessor(size=size),
        "video_processor": VideotgbVideoProcessor(size=size, num_candidate_frames=CANDIDATES),
        "sampler_tokenizer": PreTrainedTokenizerFast.from_pretrained(ORIGINAL / "bert-base-uncased"),
        "num_query_tokens": QUERY_TOKENS,
        "num_chosen_frames": NUM_FRAMES,
    }


def tiny_processor(**options: object) -> VideotgbProcessor:
    qformer = PreTrainedTokenizerFast.from_pretrained(ORIGINAL / "instructblip-vicuna-7b" / "qformer_tokenizer")
    return VideotgbProcessor(tokenizer=tiny_tokenizer(), qformer_tokenizer=qformer, **(processor_parts() | options))
