# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms score`: judges the answers of a run anew, without its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import quiet_libraries, user_errors
from .judging import BUDGET, JUDGE, KEY, PRICE, RATE, URL, Judging


def score(
    folder: Annotated[Path, typer.Argument(help="Output of `evaluate`.")],
    judge: Annotated[str, JUDGE] = "rules",
    judge_url: Annotated[str | None, URL] = None,
    judge_key_variable: Annotated[str, KEY] = "OPENAI_API_KEY",
    judge_rate: Annotated[float, RATE] = 0.0,
    judge_price: Annotated[str | None, PRICE] = None,
    judge_budget: Annotated[float | None, BUDGET] = None,
    device: Annotated[str | None, typer.Option(help="Where a local judge runs.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask about samples that it has judged before, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what the judge would cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = False,
) -> None:
    """Judge the answers of a run, by rules or by a language model. The model that answered is not needed."""
    judging = Judging(judge, judge_url, judge_key_variable, judge_rate, judge_price, judge_budget, device)
    with user_errors():
        from ..evaluation.records import read_run

        quiet_libraries()
        read_run(folder)
        results = judging.score(folder, again, dry_run)
    if results is not None:
        typer.echo(json.dumps(results) if as_json else (folder / "results.md").read_text(encoding="utf-8"), nl=as_json)
