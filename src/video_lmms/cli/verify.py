# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms verify`: is this folder complete, and does it still give its stored answer?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .console import quiet_libraries, user_errors


def verify(
    source: Annotated[
        str, typer.Argument(metavar="DIR_OR_ID", help="A converted, trained or downloaded folder, or a Hub id.")
    ],
    device: Annotated[str | None, typer.Option(help="Where to replay the answer. Default: first accelerator.")] = None,
    weights: Annotated[bool, typer.Option("--weights/--no-weights", help="Look at the weights, too.")] = True,
    record: Annotated[bool, typer.Option("--record", help="Where no answer is stored, ask and store one.")] = False,
    revision: Annotated[str | None, typer.Option(help="Of the Hub repository. Default: its newest.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a model: recorded digests, code, strict load, stored answer. Exit code 1 if anything fails."""
    with user_errors():
        from ..hub import verify as verify_model

        quiet_libraries()
        report = verify_model(source, device=device, weights=weights, record=record, revision=revision)
    typer.echo(json.dumps(report.as_dict(), ensure_ascii=False) if as_json else "\n".join(report.lines()))
    raise typer.Exit(0 if report.passed else 1)
