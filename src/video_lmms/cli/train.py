# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms train`: fine-tune a model by a recipe."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from .console import fail, user_errors


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Options in place of the recipe's.")
    ] = None,
) -> None:
    """Fine-tune a model: `video-lmms train lora model_name_or_path=tiny-pllava train_data=chats.jsonl`."""
    words = ["--config", str(find_recipe(recipe))]
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise fail(f"{setting!r} is no KEY=VALUE, such as learning_rate=1e-4.")
        words += [f"--{key.lstrip('-')}", *value.split(",")]
    with user_errors():
        from ..training.recipes import sft

        sft.main(words)


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or a shipped one by its name without `.yaml`."""
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_recipes()
    if name.removesuffix(".yaml") in shipped:
        return shipped[name.removesuffix(".yaml")]
    close = difflib.get_close_matches(name, shipped, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise fail(f"there is no recipe {name!r}.{guess} Shipped recipes: {', '.join(shipped)}.")


def shipped_recipes() -> dict[str, Path]:
    """Name -> file."""
    folder = Path(str(files("video_lmms.training.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
