# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms doctor`: does an original checkpoint look as this package believes?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import quiet_libraries, user_errors


def doctor(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An original checkpoint, with all its pieces.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Which one it is, such as pllava-7b. Default: the one it resembles most.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Hold an original checkpoint against what was inferred of it, and print what differs (exit code 1)."""
    with user_errors():
        from ..hub.facts import diagnose

        quiet_libraries()
        diagnosis = diagnose(directory, checkpoint)
    typer.echo(json.dumps(diagnosis.as_dict(), ensure_ascii=False) if as_json else "\n".join(diagnosis.lines()))
    raise typer.Exit(1 if diagnosis.differing else 0)
