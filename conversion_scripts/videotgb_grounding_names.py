# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Names of VideoTGB's grounding bridge: the original's temporal encoder and RAFT, and ours.

The original keeps them under `temporal_encoder.` and `of_extractor.` of a full checkpoint, or in files of their own
(`sampler.pth`, `raft-sintel.pth`) where every name starts with `module.`. All functions here take names without these
prefixes and answer with names below `grounding.` and `flow_model.`.
"""

import re
from collections.abc import Mapping, Sequence

from video_lmms.conversion_scripts.conversion import ConversionError


# Prefixes in a full checkpoint; in a file of its own each is `module.`.
GROUNDING_PREFIX, FLOW_PREFIX, PIECE_PREFIX = "temporal_encoder.", "of_extractor.", "module."

GROUNDING_NAMES = (
    (r"^temporal_embeddings\.(bos|eos)$", r"flow_embeddings.\1"),
    (r"^temporal_embeddings\.projection\.", "flow_embeddings.patch_embedding."),
    (r"^temporal_embeddings\.fc\.", "flow_embeddings.patch_mix."),
    (r"^temporal_embeddings\.frame_pos_embed\.", "flow_embeddings.position_embedding."),
    (r"^temporal_embeddings\.ln\.", "flow_embeddings.layer_norm."),
    (r"^embeddings\.word_embeddings\.", "text_embeddings.word_embedding."),
    (r"^embeddings\.token_type_embeddings\.", "text_embeddings.token_type_embedding."),
    (r"^embeddings\.LayerNorm\.", "text_embeddings.layer_norm."),
    (r"^encoder\.embed_positions\.weight$", "encoder.rotary_table"),
    (r"^encoder\.c_embed_positions\.weight$", "encoder.cross_rotary_table"),
    (r"^encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.", r"encoder.layers.\1.self_attention.\2."),
    (r"^encoder\.layer\.(\d+)\.crossattention\.self\.(query|key|value)\.", r"encoder.layers.\1.cross_attention.\2."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"encoder.layers.\1.self_attention.dense."),
    (r"^encoder\.layer\.(\d+)\.crossattention\.output\.dense\.", r"encoder.layers.\1.cross_attention.dense."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"encoder.layers.\1.self_attention.layer_norm."),
    (r"^encoder\.layer\.(\d+)\.crossattention\.output\.LayerNorm\.", r"encoder.layers.\1.cross_attention.layer_norm."),
    (r"^encoder\.layer\.(\d+)\.intermediate\.dense\.", r"encoder.layers.\1.feed_forward.dense_in."),
    (r"^encoder\.layer\.(\d+)\.output\.dense\.", r"encoder.layers.\1.feed_forward.dense_out."),
    (r"^encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"encoder.layers.\1.feed_forward.layer_norm."),
    (r"^mrc_head\.", "span_head."),
)
# A table that no code path of the original reads, and a buffer that counts from zero.
GROUNDING_UNUSED = re.compile(r"^embeddings\.position_embeddings\.weight$|position_ids$")

FLOW_NAMES = (
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
    (r"^(\w+_encoder\.layer\d\.\d)\.conv([12])\.", r"\1.convnormrelu\2.0."),
    (r"^(\w+_encoder\.layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1."),
    (r"^update_block\.encoder\.conv([cf])([12])\.", r"update_block.motion_encoder.conv\1\2.0."),
    (r"^update_block\.motion_encoder\.convc", "update_block.motion_encoder.convcorr"),
    (r"^update_block\.motion_encoder\.convf", "update_block.motion_encoder.convflow"),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.conv([zrq])([12])\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)
# The norm of a projecting skip connection, stored a second time; counters that only training reads.
FLOW_UNUSED = re.compile(r"\.norm3\.|\.num_batches_tracked$")


def rename(name: str, table: Sequence[tuple[str, str]]) -> str:
    """`name` after every replacement of a table, in order."""
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def grounding_target(name: str) -> str | None:
    """Name below `grounding.` of a tensor of the temporal encoder; None for what is deliberately unused."""
    return None if GROUNDING_UNUSED.search(name) else rename(name, GROUNDING_NAMES)


def flow_target(name: str) -> str | None:
    """Name below `flow_model.` of a tensor of RAFT; None for what is deliberately unused."""
    return None if FLOW_UNUSED.search(name) else rename(name, FLOW_NAMES)


def take(shapes: Mapping[str, Sequence[int]], name: str) -> Sequence[int]:
    """Shape of a tensor that sizes are read from.

    Raises:
        ConversionError: it is missing.
    """
    if name not in shapes:
        raise ConversionError(f"The temporal encoder lacks {name}: this is no VideoTGB sampler, or a part of one.")
    return shapes[name]


def grounding_config_from_shapes(shapes: Mapping[str, Sequence[int]]) -> dict:
    """Sizes of the temporal encoder, which no file of the original states.

    Args:
        shapes: of the temporal encoder's tensors, by original name without prefix.

    Returns:
        Arguments of `VideotgbGroundingConfig`.

    Raises:
        ConversionError: a tensor is missing or the shapes contradict one another.
    """
    vocab_size, hidden_size = take(shapes, "embeddings.word_embeddings.weight")
    positions, head_dim = take(shapes, "encoder.embed_positions.weight")
    patch = take(shapes, "temporal_embeddings.projection.weight")[-1]
    patches = take(shapes, "temporal_embeddings.fc.weight")[-1]
    layers = sorted({int(found[1]) for name in shapes if (found := re.match(r"encoder\.layer\.(\d+)\.", name))})
    fused = sorted(
        {int(found[1]) for name in shapes if (found := re.match(r"encoder\.layer\.(\d+)\.crossattention\.", name))}
    )
    side = round(patches**0.5)
    if side**2 != patches:
        raise ConversionError(f"temporal_embeddings.fc.weight joins {patches} patches, which is no square.")
    if hidden_size % head_dim:
        raise ConversionError(
            f"The rotary tables are {head_dim} wide, which does not divide the hidden size {hidden_size}."
        )
    if not layers or layers != list(range(len(layers))) or not fused or fused != layers[fused[0] :]:
        raise ConversionError(
            f"The temporal encoder holds layers {layers}, with cross attention in {fused}; expected layers without a "
            "gap, the last of them with cross attention."
        )
    return {
        "vocab_size": vocab_size,
        "type_vocab_size": take(shapes, "embeddings.token_type_embeddings.weight")[0],
        "hidden_size": hidden_size,
        "num_hidden_layers": len(layers),
        "num_attention_heads": hidden_size // head_dim,
        "intermediate_size": take(shapes, "encoder.layer.0.intermediate.dense.weight")[0],
        "max_position_embeddings": positions,
        "fusion_layer": fused[0],
        "flow_patch_size": patch,
        "flow_size": side * patch,
    }


__all__ = [
    "FLOW_PREFIX",
    "GROUNDING_PREFIX",
    "PIECE_PREFIX",
    "flow_target",
    "grounding_config_from_shapes",
    "grounding_target",
]
