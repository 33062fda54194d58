# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""NExT-QA (arXiv 2105.08276), multiple choice: why, how, when and what in everyday videos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import LETTERS, Sample, Task, find_file, find_video, read_rows


# The first letter of a question's type.
SUBSETS = {"C": "causal", "T": "temporal", "D": "descriptive"}


def read(folder: Path) -> Iterator[Sample]:
    """Samples of the test set; the map tells in which folder a video lies."""
    places = read_rows(find_file(folder, "map_vid_vidorID.json"))
    for row in read_rows(find_file(folder, "test.csv", "mc.csv", "val.csv")):
        yield Sample(
            id=f"{row['video']}/{row['qid']}",
            video=find_video(folder, ("NExTVideo", "videos"), places[row["video"]]),
            question=row["question"],
            choices=tuple(row[f"a{number}"] for number in range(5)),
            expected=LETTERS[int(row["answer"])],
            subset=SUBSETS[row["type"][0]],
            details={"type": row["type"]},
        )


TASKS = (
    Task(
        name="nextqa",
        title="NExT-QA (multiple choice)",
        kind="choice",
        read=read,
        layout="test.csv, map_vid_vidorID.json and NExTVideo/<folder>/<video>.mp4",
        source="https://github.com/doc-doc/NExT-QA",
    ),
)
