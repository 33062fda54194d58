# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` and `score` share: choosing a judge, telling what it will cost, judging."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from .console import fail, note, progress


@dataclass
class Judging:
    """How a run is to be judged; the fields are options of the commands."""

    judge: str
    url: str | None
    key_variable: str
    per_minute: float
    price: str | None
    budget: float | None
    device: str | None

    def prices(self) -> tuple[float, float] | None:
        """Per million tokens read and written.

        Raises:
            typer.Exit: code 2, for anything but two numbers.
        """
        if self.price is None:
            return None
        try:
            read, written = (float(part) for part in self.price.split(","))
        except ValueError:
            raise fail(
                f"--judge-price takes two numbers, read and written, such as 0.5,1.5; got {self.price!r}."
            ) from None
        return read, written

    def score(self, folder: Path, again: bool = False, dry_run: bool = False) -> dict[str, Any] | None:
        """Judges a run; answers with its results, or with None after a dry run.

        Raises:
            typer.Exit: code 2, when the estimate exceeds the budget.
            VideoLmmError: the judge cannot be asked, or the folder holds no run.
        """
        from ..evaluation.judges import RULES, estimate_cost
        from ..evaluation.raters import find_rater
        from ..evaluation.records import read_samples
        from ..evaluation.scoring import score_run, unjudged

        prices = self.prices()
        if self.judge == RULES:
            return None if dry_run else score_run(folder)
        records = read_samples(folder)
        wanted = unjudged(folder, records, self.judge, again)
        cost = estimate_cost([request for request, answered in wanted if answered], prices)
        price = f", about {cost['cost']:.2f} at the given price" if prices else ""
        note(
            f"{self.judge} is asked {cost['requests']} times: about {cost['tokens_read']} tokens read and "
            f"{cost['tokens_written']} written{price}."
        )
        if self.budget is not None and prices is None:
            raise fail("--judge-budget needs --judge-price: what a token costs is not known here.")
        if self.budget is not None and cost["cost"] > self.budget:
            raise fail(f"about {cost['cost']:.2f} is more than --judge-budget {self.budget:g}.")
        if dry_run:
            return None
        rater = find_rater(self.judge, self.url, self.key_variable, self.per_minute, self.device)
        with progress("judging", len(wanted), "judgements") as advance:
            return score_run(folder, rater, again, advance)


JUDGE = typer.Option(help="Who judges open questions: rules, openai:MODEL or local:FOLDER.")
URL = typer.Option("--judge-url", help="Root of an endpoint that speaks OpenAI's protocol. Default: OpenAI's.")
KEY = typer.Option("--judge-key-variable", help="Environment variable that holds the endpoint's key.")
RATE = typer.Option("--judge-rate", min=0, help="Requests per minute; 0 for no limit.")
PRICE = typer.Option("--judge-price", help="Price per million tokens read and written, such as 0.5,1.5.")
BUDGET = typer.Option("--judge-budget", min=0, help="Refuse to judge when the estimate costs more.")
