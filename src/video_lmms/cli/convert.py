# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms convert`: an original checkpoint to a folder that transformers loads."""

from __future__ import annotations

import difflib
from importlib.resources import files
from typing import Annotated

import typer

from .console import fail, note, quiet_libraries, user_errors


_USAGE = "Usage: video-lmms convert MODEL --output DIR [options of that model]"


def convert(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Which original, for example pllava.")] = "--help",
    store_answer: Annotated[
        bool | None,
        typer.Option(
            "--store-answer/--no-store-answer",
            help="Ask the result and store its answer for `verify`. Default: if it is no larger than a shard.",
        ),
    ] = None,
) -> None:
    """Convert an original checkpoint. `video-lmms convert MODEL --help` lists the options of a model.

    Its folders and files may lie on the Hub: ORG/NAME[/PATH][@REVISION].
    """
    known = convertible_models()
    if model in ("--help", "-h"):
        typer.echo(
            f"{_USAGE}\n\nModels: {', '.join(known)}. `video-lmms convert {known[0]} --help` lists the options."
        )
        return
    name = model.replace("-", "_")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        guess = f" Did you mean {close[0]}?" if close else ""
        raise fail(f"there is no converter for {model!r}.{guess} Models: {', '.join(known)}.")
    if any(word.startswith("--quantize") for word in context.args):
        raise fail(
            "weights are quantised when they are loaded, not here: pass quantization_config to from_pretrained, "
            "which reads the converted folder in full precision once."
        )
    with user_errors():
        from ..hub.converting import convert as convert_original

        quiet_libraries()
        convert_original(name, context.args, store_answer=store_answer, tell=note)


def convertible_models() -> list[str]:
    """Names of all models that have a conversion script."""
    scripts = files("video_lmms.conversion_scripts").iterdir()
    names = [script.name for script in scripts if script.name.startswith("convert_")]
    return sorted(name.removeprefix("convert_").removesuffix(".py") for name in names)
