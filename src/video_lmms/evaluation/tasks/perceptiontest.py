# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Perception Test (arXiv 2305.13786), the multiple-choice questions of its validation set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import LETTERS, Sample, Task, find_file, find_video, read_rows


def read(folder: Path) -> Iterator[Sample]:
    """Samples, video by video."""
    for name, video in read_rows(find_file(folder, "mc_question_valid.json", "all_valid.json")).items():
        for row in video["mc_question"]:
            yield Sample(
                id=f"{name}/{row['id']}",
                video=find_video(folder, ("videos", "valid"), name),
                question=row["question"],
                choices=tuple(row["options"]),
                expected=LETTERS[row["answer_id"]],
                subset=row["area"],
                details={"reasoning": row["reasoning"], "tag": row["tag"]},
            )


TASKS = (
    Task(
        name="perceptiontest",
        title="Perception Test (validation, multiple choice)",
        kind="choice",
        read=read,
        layout="mc_question_valid.json and videos/<video>.mp4",
        source="https://github.com/google-deepmind/perception_test",
    ),
)
