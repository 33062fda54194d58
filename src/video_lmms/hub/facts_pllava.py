# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What is believed of the published PLLaVA folders; see `facts.py`."""

from __future__ import annotations

from .facts import PUBLISHED, Fact


_TOWER = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}


def _facts(
    text: dict[str, int | float], tensors: int, shards: int, image_id: int, pad_id: int, eos: tuple[str, int]
) -> list[Fact]:
    width = text["hidden_size"]
    text = {"rms_norm_eps": 1e-5, "max_position_embeddings": 4096} | text
    return [
        *(Fact("value", "config.json", f"text_config.{key}", value) for key, value in text.items()),
        *(Fact("value", "config.json", f"vision_config.{key}", value, PUBLISHED) for key, value in _TOWER.items()),
        Fact("value", "config.json", "model_type", "llava", PUBLISHED),
        Fact("value", "config.json", "image_token_index", image_id, PUBLISHED),
        Fact("value", "config.json", "vision_feature_layer", -2, PUBLISHED),
        Fact("value", "config.json", "torch_dtype", "bfloat16"),
        Fact("value", "generation_config.json", "eos_token_id", eos[1]),
        Fact("value", "generation_config.json", "pad_token_id", pad_id),
        Fact("token", "", "<image>", image_id),
        Fact("token", "", eos[0], eos[1]),
        Fact("number of tensors", "", "", tensors),
        Fact("number of tensors", "", r"image_newline|position_ids", 0),
        Fact("dtype of tensors", "", "", "BF16"),
        Fact("shape of tensor", "", r"layers\.0\.self_attn\.q_proj\.lora_A\.default\.weight$", [128, width]),
        Fact("shape of tensor", "", r"model\.embed_tokens\.weight$", [text["vocab_size"], width]),
        Fact("number of files", "", "model-0*.safetensors", shards, PUBLISHED),
    ]


FACTS: dict[str, list[Fact]] = {
    "pllava-7b": [
        *_facts(
            {
                "hidden_size": 4096,
                "intermediate_size": 11008,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "vocab_size": 32064,
            },
            tensors=814,
            shards=3,
            image_id=32000,
            pad_id=32001,
            eos=("</s>", 2),
        ),
        Fact("token", "", "<pad>", 32001, PUBLISHED),
    ],
    "pllava-13b": [
        *_facts(
            {
                "hidden_size": 5120,
                "intermediate_size": 13824,
                "num_hidden_layers": 40,
                "num_attention_heads": 40,
                "vocab_size": 32064,
            },
            tensors=918,
            shards=6,
            image_id=32000,
            pad_id=32001,
            eos=("</s>", 2),
        ),
        Fact("token", "", "<pad>", 32001),
    ],
    "pllava-34b": [
        *_facts(
            {
                "hidden_size": 7168,
                "intermediate_size": 20480,
                "num_hidden_layers": 60,
                "num_attention_heads": 56,
                "num_key_value_heads": 8,
                "vocab_size": 64064,
                "rope_theta": 5_000_000.0,
            },
            tensors=1178,
            shards=15,
            image_id=64002,
            pad_id=0,
            eos=("<|im_end|>", 7),
        ),
        Fact("token", "", "<unk>", 0),
    ],
}
