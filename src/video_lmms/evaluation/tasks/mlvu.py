# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""MLVU (arXiv 2406.04264): the seven multiple-choice tasks of its development set, on long videos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import Sample, Task, TaskDataError, find_video, letter_of, read_rows


FILES = ("1_plotQA", "2_needle", "3_ego", "4_count", "5_order", "6_anomaly_reco", "7_topic_reasoning")


def read(folder: Path) -> Iterator[Sample]:
    """Samples of all tasks whose file is there.

    Raises:
        TaskDataError: no task's file is there.
    """
    present = [name for name in FILES if (folder / "json" / f"{name}.json").is_file()]
    if not present:
        raise TaskDataError(f"{folder}/json holds none of MLVU's files, such as {FILES[0]}.json.")
    for name in present:
        path = folder / "json" / f"{name}.json"
        for number, row in enumerate(read_rows(path)):
            yield Sample(
                id=f"{name}/{number}",
                video=find_video(folder, (f"video/{name}", f"video/{name.split('_', 1)[1]}"), row["video"]),
                question=row["question"],
                choices=tuple(row["candidates"]),
                expected=letter_of(row["answer"], row["candidates"], f"{path}, row {number}"),
                subset=row["question_type"],
            )


TASKS = (
    Task(
        name="mlvu",
        title="MLVU (dev, multiple choice)",
        kind="choice",
        read=read,
        layout="json/1_plotQA.json to json/7_topic_reasoning.json and video/<file name>/...",
        source="https://huggingface.co/datasets/MLVU/MVLU",
        mean_over="subsets",
    ),
)
