# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Converts a toy checkpoint of "the original": step 6 of the checklist."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlamaConfig, PreTrainedTokenizerFast

from video_lmms.conversion_scripts.conversion import (
    DTYPES,
    Plan,
    Recipe,
    check_complete,
    parse_size,
    read_folder,
    read_json,
    run_command,
    write_model,
)
from video_lmms.modeling.configuration_toy import ToyConfig
from video_lmms.modeling.modeling_toy import ToyForConditionalGeneration
from video_lmms.processing.processing_toy import ToyProcessor
from video_lmms.processing.video_processing_toy import ToyVideoProcessor


NAMES = (
    (r"^encoder\.", "model.vision_tower."),
    (r"^bridge\.", "model.multi_modal_projector."),
    (r"^llm\.model\.", "model.language_model."),
    (r"^llm\.lm_head\.", "lm_head."),
)


def target_name(source: str) -> str:
    """Name of an original tensor in the model."""
    for pattern, replacement in NAMES:
        source = re.sub(pattern, replacement, source)
    return source


def convert(checkpoint: Path, output: Path, dtype: str = "float32") -> Path:
    """Converts a checkpoint.

    Raises:
        ConversionError: the source is incomplete, damaged or inconsistent; nothing is left behind.
    """
    original = read_json(checkpoint / "config.json")
    config = ToyConfig(text_config=LlamaConfig(**original["llm"]), video_token_id=original["video_token_id"])
    config.dtype, config.architectures = DTYPES[dtype], [ToyForConditionalGeneration.__name__]
    recipes = {target_name(name): Recipe((tensor,)) for name, tensor in read_folder(checkpoint).items()}
    with torch.device("meta"):
        model = ToyForConditionalGeneration(config)
    check_complete(recipes, {name: tensor.shape for name, tensor in model.state_dict().items()})
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint, padding_side="left")
    processor = ToyProcessor(tokenizer, ToyVideoProcessor(), tokens_per_video=4)

    files = sorted({source.file for recipe in recipes.values() for source in recipe.sources})
    plan = Plan(recipes, DTYPES[dtype], parse_size("5GB"), files, {"dtype": dtype})
    write_model(plan, output, (config, processor), ("convert_toy", 1), {"source_tensors": len(recipes)})
    return output


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="video-lmms convert toy", description=__doc__.split(":")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the original")
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="of the written weights")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; 0 on success, 2 with one line on stderr where the source is refused."""
    return run_command(convert, parse_arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
