# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Charades-STA (arXiv 1705.02101): when does what a sentence tells happen?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import Sample, Task, TaskDataError, find_file, find_video


def read(folder: Path) -> Iterator[Sample]:
    """Samples of the test set, a line each: "VIDEO START END##SENTENCE".

    Raises:
        TaskDataError: a line of another form.
    """
    path = find_file(folder, "charades_sta_test.txt")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        place, mark, sentence = line.partition("##")
        words = place.split()
        if not mark or len(words) != 3:
            raise TaskDataError(f"{path}, line {number}: expected VIDEO START END##SENTENCE, got {line!r}.")
        yield Sample(
            id=str(number),
            video=find_video(folder, ("Charades_v1_480", "videos"), words[0]),
            question=sentence.strip(),
            expected=(float(words[1]), float(words[2])),
        )


TASKS = (
    Task(
        name="charades_sta",
        title="Charades-STA",
        kind="grounding",
        read=read,
        layout="charades_sta_test.txt and Charades_v1_480/<video>.mp4",
        source="https://github.com/jiyanggao/TALL",
    ),
)
