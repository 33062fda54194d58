# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What is believed of VideoTGB's published checkpoints, beside the folders of their base models; see `facts.py`."""

from __future__ import annotations

from .facts import PUBLISHED, Fact


_PARTS = {
    r"vision_model\.": 985_952_256,
    r"^temporal_encoder\.(?!.*position_ids$)": 123_932_615,
    r"query_tokens$": 24_576,
}


def _facts(file: str, base: str, own: list[Fact]) -> list[Fact]:
    return [
        *(Fact("elements of tensors", file, name, count) for name, count in _PARTS.items()),
        Fact("dtype of tensors", file, r"^(model|temporal_encoder)\.(?!.*position_ids$)", "F32"),
        Fact("number of tensors", file, r"lora_", 0),
        Fact("number of tensors", file, r"temporal_projection\.", 2),
        Fact("value", f"{base}/config.json", "vision_config.hidden_size", 1408, PUBLISHED),
        Fact("value", f"{base}/config.json", "vision_config.layer_norm_eps", 1e-6),
        *own,
    ]


_VICUNA, _FLAN = "instructblip-vicuna-7b", "blip2-flan-t5-xl"
FACTS: dict[str, list[Fact]] = {
    "videotgb-7b": _facts(
        "LSTP-7B.ckpt",
        _VICUNA,
        [
            Fact("bytes", "LSTP-7B.ckpt", "", 32_182_891_823, PUBLISHED),
            Fact("elements of tensors", "LSTP-7B.ckpt", r"^model\.language_model\.(?!.*inv_freq$)", 6_738_423_808),
            Fact("shape of tensor", "LSTP-7B.ckpt", r"qformer\.embeddings\.word_embeddings\.weight$", [30523, 768]),
            Fact("value", f"{_VICUNA}/config.json", "text_config.vocab_size", 32001, PUBLISHED),
            Fact("value", f"{_VICUNA}/config.json", "text_config.rms_norm_eps", 1e-6, PUBLISHED),
            Fact("value", f"{_VICUNA}/config.json", "text_config.bos_token_id", 0, PUBLISHED),
            Fact("value", f"{_VICUNA}/config.json", "text_config.eos_token_id", 1, PUBLISHED),
            Fact("value", f"{_VICUNA}/config.json", "text_config.pad_token_id", -1, PUBLISHED),
            Fact("value", f"{_VICUNA}/tokenizer_config.json", "truncation_side", "left"),
            Fact("token", _VICUNA, "[PAD]", 32000),
            Fact("token", _VICUNA, "</s>", 2),
        ],
    ),
    "videotgb-flan-t5-xl": _facts(
        "LSTP-FlanT5xl.ckpt",
        _FLAN,
        [
            Fact("elements of tensors", "LSTP-FlanT5xl.ckpt", r"^model\.qformer\.(?!.*position_ids$)", 105_137_664),
            Fact("number of tensors", "LSTP-FlanT5xl.ckpt", r"language_model\.lm_head\.weight$", 1),
            Fact("value", f"{_FLAN}/config.json", "text_config.d_model", 2048, PUBLISHED),
            Fact("value", f"{_FLAN}/config.json", "text_config.vocab_size", 32128, PUBLISHED),
        ],
    ),
}
