# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""EgoSchema (arXiv 2308.09126): five options on three minutes of first-person video.

Answers are public for 500 of the 5031 questions. `egoschema` asks those; `egoschema_full` asks all, scores those, and
its answers make the file that the authors' server takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .base import LETTERS, Sample, Task, find_file, find_video, read_rows


def read(folder: Path, full: bool) -> Iterator[Sample]:
    """Samples in the order of the questions; those without a public answer only where all are asked for."""
    known = read_rows(find_file(folder, "subset_answers.json"))
    for row in read_rows(find_file(folder, "questions.json")):
        name = row["q_uid"]
        if full or name in known:
            yield Sample(
                id=name,
                video=find_video(folder, ("videos", "good_clips_git", "."), name),
                question=row["question"],
                choices=tuple(row[f"option {number}"] for number in range(5)),
                expected=LETTERS[known[name]] if name in known else None,
            )


LAYOUT = "questions.json, subset_answers.json and videos/<q_uid>.mp4"
SOURCE = "https://github.com/egoschema/EgoSchema"
TASKS = (
    Task("egoschema", "EgoSchema (subset)", "choice", partial(read, full=False), LAYOUT, SOURCE),
    Task("egoschema_full", "EgoSchema (all)", "choice", partial(read, full=True), LAYOUT, SOURCE),
)
