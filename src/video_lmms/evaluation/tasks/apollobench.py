# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""ApolloBench (arXiv 2412.10360): 400 multiple-choice questions that text alone or one frame does not answer.

Its table names `id`, `video`, `question`, `options` (with or without their letters), `answer` (a letter) and
`category`: Temporal OCR, Egocentric, Spatial, Perception or Reasoning. The authors published neither prompts nor
parsing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import Sample, Task, find_file, find_video, read_rows, without_letter


def read(folder: Path) -> Iterator[Sample]:
    """Samples in the order of the table."""
    rows = read_rows(find_file(folder, "data/*.parquet", "*.parquet", "*.jsonl", "*.json"))
    for number, row in enumerate(rows):
        yield Sample(
            id=str(row.get("id", number)),
            video=find_video(folder, ("videos", "."), row["video"]),
            question=row["question"],
            choices=tuple(without_letter(option) for option in row["options"]),
            expected=row["answer"].strip().strip("().")[0],
            subset=row["category"],
        )


TASKS = (
    Task(
        name="apollobench",
        title="ApolloBench",
        kind="choice",
        read=read,
        layout="one table (.parquet, .jsonl or .json) and videos/<video>.mp4",
        source="https://huggingface.co/datasets/Apollo-LMMs/ApolloBench",
    ),
)
