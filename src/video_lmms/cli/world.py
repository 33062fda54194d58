# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms world`: clips of moving shapes with questions and answers, to try training and evaluation on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import fail, note


def world(
    folder: Annotated[Path, typer.Argument(help="Folder to write clips and chats.jsonl into.")],
    kinds: Annotated[str, typer.Option(help="Types of questions, separated by commas.")] = "colour,direction",
    count: Annotated[int, typer.Option(min=1, help="Number of clips.")] = 200,
    split: Annotated[str, typer.Option(help="train, held_out or never_seen.")] = "train",
    turns: Annotated[int, typer.Option(min=1, help="Questions per clip.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed draws other clips.")] = 0,
) -> None:
    """Draw clips of the synthetic world with questions and answers, as a data set for `train`."""
    from ..data.world import draw_samples, write_rows

    try:
        samples = draw_samples(seed, count, kinds.split(","), split, turns)
    except ValueError as error:
        raise fail(str(error)) from error
    rows = write_rows(samples, folder / "clips")
    lines = [json.dumps({"messages": row["messages"], "kind": row["kind"]}) for row in rows]
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    note(f"{count} clips in {folder / 'clips'}, chats about them in {folder / 'chats.jsonl'}")
