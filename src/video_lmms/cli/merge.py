# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms merge`: an adapter and its base to one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import note, user_errors


def merge(
    adapter: Annotated[Path, typer.Argument(help="Folder of the adapter, as training leaves it.")],
    output: Annotated[Path, typer.Option(help="Folder to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Fold a LoRA adapter into its base, and write a folder that anyone who has transformers can use."""
    with user_errors():
        from ..training.results import merge as merge_adapter

        written = merge_adapter(adapter, output, overwrite)
    note(f"{len(written)} files in {output}")
