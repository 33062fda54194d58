# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Names of the tensors in `imagebind_huge.pth`, and what the file tells about the towers that are used."""

import re
from collections.abc import Mapping, Sequence


AUDIO, VISION = "audio", "vision"

_PARTS = rf"^modality_(?:preprocessors|trunks|heads|postprocessors)\.({AUDIO}|{VISION})\."
# Name in the file -> name in the tower of that modality; every matching line applies, from top to bottom.
NAMES = (
    (_PARTS + r"(0|2)\.weight$", r"\1.head.\2.weight"),
    (_PARTS + r"0\.bias$", r"\1.head.0.bias"),
    (_PARTS + r"1\.log_logit_scale$", r"\1.log_logit_scale"),
    (_PARTS + r"cls_token$", r"\1.embeddings.class_embedding"),
    (_PARTS + r"pos_embedding_helper\.pos_embed$", r"\1.embeddings.position_embedding"),
    (_PARTS + r"rgbt_stem\.proj\.(?:1\.)?weight$", r"\1.embeddings.patch_embedding.weight"),
    (_PARTS + r"(?:rgbt_stem\.norm_layer|pre_transformer_layer\.0)\.", r"\1.embeddings.layernorm."),
    (_PARTS + r"blocks\.", r"\1.layers."),
    (r"\.head\.0\.", ".head.layernorm."),
    (r"\.head\.2\.", ".head.projection."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.attn\.bias_k$", ".attn.bias_key"),
    (r"\.attn\.bias_v$", ".attn.bias_value"),
    (r"\.norm_(1|2)\.", r".norm\1."),
)
# Towers that no part of Video-LLaMA calls: nearly half of the file.
UNUSED = re.compile(r"^modality_(?:preprocessors|trunks|heads|postprocessors)\.(?:text|depth|thermal|imu)\.")


def target_name(source: str, modality: str) -> str | None:
    """Name in the tower of `modality` ("audio" or "vision") of a tensor of the file; None: not its own."""
    for pattern, replacement in NAMES:
        source = re.sub(pattern, replacement, source)
    tower, _, name = source.partition(".")
    return name if tower == modality else None


def audio_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, int | bool]:
    """Fields of the audio tower's configuration that shapes tell. The rest are constants of the original's code:
    heads, stride and size of the spectrogram.

    Args:
        shapes: name in the tower -> shape.
    """
    width, _, side, _ = shapes["embeddings.patch_embedding.weight"]
    return _block_sizes(shapes) | {"hidden_size": width, "patch_size": side}


def vision_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, int | bool]:
    """Fields of the vision tower's configuration that shapes tell: all but the heads.

    Args:
        shapes: name in the tower -> shape.
    """
    width, channels, frames, side, _ = shapes["embeddings.patch_embedding.weight"]
    patches = shapes["embeddings.position_embedding"][1] - 1
    return _block_sizes(shapes) | {
        "hidden_size": width,
        "num_channels": channels,
        "temporal_patch_size": frames,
        "patch_size": side,
        "image_size": round(patches**0.5) * side,
    }


def _block_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, int | bool]:
    blocks = {int(name.split(".")[1]) for name in shapes if name.startswith("layers.")}
    return {
        "intermediate_size": shapes["layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": len(blocks),
        "projection_dim": shapes["head.projection.weight"][0],
        "add_bias_kv": "layers.0.attn.bias_key" in shapes,
    }
