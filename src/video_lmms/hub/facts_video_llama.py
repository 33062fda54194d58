# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What is believed of Video-LLaMA's published pieces, all in one folder; see `facts.py`."""

from __future__ import annotations

from .facts import PUBLISHED, Fact


_VIT, _QFORMER, _IMAGEBIND = "eva_vit_g.pth", "blip2_pretrained_flant5xxl.pth", "imagebind_huge.pth"
_FROZEN = [
    Fact("dtype of tensors", _VIT, "", "F16"),
    Fact("number of tensors", _VIT, r"^blocks\.39\.", 13),
    Fact("shape of tensor", _VIT, r"^blocks\.0\.mlp\.fc1\.weight$", [6144, 1408], PUBLISHED),
    Fact("shape of tensor", _VIT, r"^pos_embed$", [1, 257, 1408], PUBLISHED),
    Fact("dtype of tensors", _QFORMER, r"^(query_tokens|ln_vision\.)", "F32", PUBLISHED),
    Fact("shape of tensor", _QFORMER, r"^query_tokens$", [1, 32, 768], PUBLISHED),
    Fact("dtype of tensors", _IMAGEBIND, r"^modality_trunks\.audio\.", "F32", PUBLISHED),
    Fact("shape of tensor", _IMAGEBIND, r"audio\.pos_embedding_helper\.pos_embed$", [1, 229, 768], PUBLISHED),
]


def _facts(width: int, sight: str, sound: str, llama: str, text: dict[str, int | float]) -> list[Fact]:
    return [
        *_FROZEN,
        # Names of files are beliefs too: a piece that is not there under its name differs in all its rows.
        Fact("shape of tensor", sight, r"^llama_proj\.weight$", [width, 768]),
        Fact("shape of tensor", sight, r"^video_frame_position_embedding\.weight$", [32, 768], PUBLISHED),
        Fact("shape of tensor", sight, r"^video_query_tokens$", [1, 32, 768], PUBLISHED),
        Fact("number of tensors", sight, r"lora_", 0, PUBLISHED),
        Fact("dtype of tensors", sight, r"^(llama_proj|video_Qformer\.bert\.encoder)\.", "F32", PUBLISHED),
        Fact("shape of tensor", sound, r"^audio_llama_proj\.weight$", [width, 768], PUBLISHED),
        Fact("shape of tensor", sound, r"^audio_position_embedding\.weight$", [8, 1024], PUBLISHED),
        *(Fact("value", f"{llama}/config.json", key, value) for key, value in text.items()),
    ]


def _text(width: int, inner: int, layers: int, heads: int, vocab: int, eps: float) -> dict[str, int | float]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocab,
        "rms_norm_eps": eps,
    }


_7B, _13B = (4096, 11008, 32, 32), (5120, 13824, 40, 40)


def _llama_2(size: str, stage: str) -> list[Fact]:
    sizes = {"7B": _7B, "13B": _13B}[size]
    names = (f"{branch}_LLaMA_2_{size}_{stage}.pth" for branch in ("VL", "AL"))
    return _facts(sizes[0], *names, f"llama-2-{size.lower()}-chat-hf", _text(*sizes, 32000, 1e-5))


FACTS: dict[str, list[Fact]] = {
    **{
        f"video-llama-2-{size.lower()}-{stage.lower()}": _llama_2(size, stage)
        for size in ("7B", "13B")
        for stage in ("Pretrained", "Finetuned")
    },
    "video-llama-vicuna-7b": _facts(
        4096,
        "finetune-vicuna7b-v2.pth|pretrain_vicuna7b-v2.pth",
        "finetune_vicuna7b_audiobranch.pth|pretrain_vicuna7b_audiobranch.pth",
        "vicuna-7b*",
        _text(*_7B, 32001, 1e-6),
    ),
}
