# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms compare`: is one run better than another?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import user_errors


def compare(
    first: Annotated[Path, typer.Argument(help="Output of `evaluate`.")],
    second: Annotated[Path, typer.Argument(help="Output of another run of the same tasks.")],
    judge: Annotated[str | None, typer.Option(help="Whose scores. Default: those of the first run's results.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two runs sample by sample: the difference, its error, and how likely chance explains it."""
    with user_errors():
        from ..evaluation.scoring import compare_runs, comparison_table

        found = compare_runs(first, second, judge)
    if as_json:
        typer.echo(json.dumps({name: asdict(difference) for name, difference in found.items()}))
    else:
        typer.echo(comparison_table(str(first), str(second), found), nl=False)
