# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What is believed of the released Apollo folders; see `facts.py`."""

from __future__ import annotations

from .facts import PUBLISHED, Fact


_CONNECTOR = {
    "projector_type": "mlp1x_gelu",
    "resampler_type": "perciver",
    "resampler_depth": 1,
    "resampler_n_heads": 16,
    "resampler_head_dim": 96,
    "num_key_value_heads": 4,
    "ff_multi": 4,
    "hidden_act": "silu",
    "num_output_tokens": 128,
    "vision_hidden_size": 2560,
}
_INTERNVIDEO2 = {
    "d_model": 1408,
    "num_heads": 16,
    "img_size": 224,
    "patch_size": 14,
    "num_frames": 4,
    "tubelet_size": 1,
    "qkv_bias": False,
    "init_values": 1e-5,
}
_INFERRED = {
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "model_max_length": 16384,
    "use_mm_start_end": False,
    "use_mm_patch_token": False,
    "model_dtype": "torch.bfloat16",
}
_TOP = {"clip_duration": 2, "encode_batch_size": 25, "image_aspect_ratio": "square", "interpolate_mode": "linear"}
_SIGLIP = "siglip-so400m-patch14-384"


def _facts(text: dict[str, int | bool], connector: int, penalty: float) -> list[Fact]:
    text = {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "bos_token_id": 151643, "eos_token_id": 151645} | text
    towers = [_SIGLIP, "internvideo2"]
    return [
        *(Fact("value", "config.json", key, value) for key, value in _INFERRED.items()),
        *(Fact("value", "config.json", key, value, PUBLISHED) for key, value in _TOP.items()),
        *(Fact("value", "llm/config.json", key, value, PUBLISHED) for key, value in text.items()),
        Fact("value", "llm/generation_config.json", "repetition_penalty", penalty),
        *(Fact("value", "mm_connector/config.json", key, value, PUBLISHED) for key, value in _CONNECTOR.items()),
        Fact("value", "vision_tower/config.json", "vision_towers", towers, PUBLISHED),
        Fact("value", "vision_tower/config.json", "token_output_shape", [4, 27, 27], PUBLISHED),
        *(
            Fact("value", "vision_tower/internvideo2/config.json", key, value, PUBLISHED)
            for key, value in _INTERNVIDEO2.items()
        ),
        Fact("elements of tensors", "mm_connector", "", connector),
        Fact("elements of tensors", "vision_tower/internvideo2", "", 1_049_117_056),
        Fact("shape of tensor", "vision_tower/internvideo2", r"^blocks\.39\.mlp\.fc1\.weight$", [6144, 1408]),
        Fact("number of tensors", "vision_tower/internvideo2", r"\.ls[12]\.(gamma|weight)$", 80),
        *(
            Fact("dtype of tensors", place, "", "BF16")
            for place in ("llm", "mm_connector", "vision_tower/internvideo2", f"vision_tower/{_SIGLIP}")
        ),
        Fact("number of tensors", "llm", r"^lm_head\.weight$", 1),
        Fact("bytes", "llm/added_tokens.json", "", 605),
    ]


def _text(hidden: int, inner: int, layers: int, heads: int, groups: int, vocab: int, tied: bool) -> dict:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
    }


FACTS: dict[str, list[Fact]] = {
    "apollo-1.5b": _facts(_text(1536, 8960, 28, 12, 2, 151936, True), connector=38_358_528, penalty=1.1),
    "apollo-3b": _facts(_text(2048, 11008, 36, 16, 2, 151936, True), connector=63_727_616, penalty=1.05),
    "apollo-7b": _facts(_text(3584, 18944, 28, 28, 4, 152064, False), connector=177_583_616, penalty=1.05),
}
