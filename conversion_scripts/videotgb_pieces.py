# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""VideoTGB's grounding bridge alone, from the files its training begins with: `sampler.pth` and `raft-sintel.pth`.

`video-lmms convert videotgb --sampler FILE --raft FILE --sampler-tokenizer DIR` comes here. The result is a folder of
a [`VideotgbGroundingBridge`] and the question's tokenizer.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from transformers import AutoTokenizer

from video_lmms.conversion_scripts.conversion import (
    DTYPES,
    ConversionError,
    Plan,
    Recipe,
    SourceTensor,
    check_complete,
    check_dtypes,
    parse_size,
    read_header,
    tell_counts,
    write_model,
)
from video_lmms.conversion_scripts.videotgb_grounding_names import (
    PIECE_PREFIX,
    flow_target,
    grounding_config_from_shapes,
    grounding_target,
)
from video_lmms.modeling.configuration_videotgb_grounding import VideotgbGroundingConfig
from video_lmms.modeling.modeling_videotgb_grounding import VideotgbGroundingBridge


CONVERTER_VERSION = 1


def read_piece(file: Path) -> tuple[dict[str, SourceTensor], list[str]]:
    """Tensors of a piece by name without the prefix, and the names of others, which the original ignores.

    Raises:
        ConversionError: nothing in the file carries the prefix.
    """
    tensors, ignored = {}, []
    for tensor in read_header(file):
        if tensor.name.startswith(PIECE_PREFIX):
            tensors[tensor.name.removeprefix(PIECE_PREFIX)] = tensor
        else:
            ignored.append(tensor.name)
    if not tensors:
        raise ConversionError(
            f"No tensor of {file} is named {PIECE_PREFIX}...: this is neither the original's sampler nor its RAFT. "
            "A full checkpoint goes to --checkpoint."
        )
    return tensors, ignored


def plan_piece(
    tensors: Mapping[str, SourceTensor], child: str, target: Callable[[str], str | None]
) -> tuple[dict[str, Recipe], list[str]]:
    """Recipes below `child`, and the names of the deliberately unused tensors.

    Args:
        tensors: by original name without prefix.
        child: of the bridge: "grounding" or "flow_model".
        target: `grounding_target` or `flow_target`.
    """
    names = {name: target(name) for name in tensors}
    recipes = {f"{child}.{new}": Recipe((tensors[name],)) for name, new in names.items() if new is not None}
    check_dtypes((recipe.sources[0] for recipe in recipes.values()), lambda name: child)
    return recipes, [tensors[name].name for name, new in names.items() if new is None]


def convert_pieces(
    sampler: Path,
    raft: Path,
    sampler_tokenizer: Path,
    output: Path,
    grounding_mode: str = "multi_modal",
    dtype: str = "float32",
    max_shard_size: str = "5GB",
) -> Path:
    """Converts the two files.

    Args:
        sampler: temporal encoder, names with `module.` in front.
        raft: RAFT of the published sizes, likewise.
        sampler_tokenizer: folder of the question's tokenizer.
        output: folder to create; must not exist or be empty.
        grounding_mode: "multi_modal" or "fusion".
        dtype: of the written weights.
        max_shard_size: of an output file, such as "5GB".

    Returns:
        `output`.

    Raises:
        ConversionError: a file is incomplete, damaged or inconsistent; nothing is left behind.
    """
    encoder, ignored = read_piece(sampler)
    flow, ignored_too = read_piece(raft)
    sizes = grounding_config_from_shapes({name: tensor.shape for name, tensor in encoder.items()})
    config = VideotgbGroundingConfig(**sizes, mode=grounding_mode)
    config.dtype = DTYPES[dtype]
    config.architectures = [VideotgbGroundingBridge.__name__]
    recipes, unused = plan_piece(encoder, "grounding", grounding_target)
    flow_recipes, unused_too = plan_piece(flow, "flow_model", flow_target)
    recipes |= flow_recipes
    unused = sorted(unused + unused_too + ignored + ignored_too)
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in VideotgbGroundingBridge(config).state_dict().items()}
    check_complete(recipes, expected)
    tokenizer = AutoTokenizer.from_pretrained(sampler_tokenizer)
    options = {"grounding_mode": grounding_mode, "dtype": dtype}
    plan = Plan(recipes, DTYPES[dtype], parse_size(max_shard_size), [sampler, raft], options)

    facts = {
        "source_tensors": len(encoder) + len(flow) + len(ignored) + len(ignored_too),
        "unused_source_tensors": unused,
    }
    write_model(plan, output, (config, tokenizer), ("convert_videotgb", CONVERTER_VERSION), facts)
    tell_counts(len(recipes) + len(unused), plan, unused)
    return output


__all__ = ["convert_pieces"]
