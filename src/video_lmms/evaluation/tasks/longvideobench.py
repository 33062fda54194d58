# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVideoBench (arXiv 2407.15754), its validation set: questions that refer to a moment of a long video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .base import LETTERS, Sample, find_file, find_video, read_rows, with_and_without_subtitles


def seconds(clock: str) -> float:
    """ "01:02:03.500" -> 3723.5."""
    hours, minutes, rest = clock.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def spoken_line(row: dict[str, Any], offset: float, duration: float) -> tuple[float, float, str]:
    """A line of a subtitle file in either of its two forms; times from the start of the clip."""
    if "timestamp" in row:
        start, end = row["timestamp"]
        return start - offset, (duration if end is None else end) - offset, row["text"]
    return seconds(row["start"]) - offset, seconds(row["end"]) - offset, row["line"]


def read(folder: Path, subtitles: bool) -> Iterator[Sample]:
    """Samples, with the speech of each video that has a subtitle file, or without any."""
    for row in read_rows(find_file(folder, "lvb_val.json")):
        lines = folder / "subtitles" / row["subtitle_path"]
        spoken = None
        if subtitles and lines.is_file():
            offset, duration = row["starting_timestamp_for_subtitles"], row["duration"]
            spoken = tuple(spoken_line(line, offset, duration) for line in read_rows(lines))
        yield Sample(
            id=row["id"],
            video=find_video(folder, ("videos",), row["video_path"]),
            question=row["question"],
            choices=tuple(row["candidates"]),
            expected=LETTERS[row["correct_choice"]],
            subset=str(row["duration_group"]),
            subtitles=spoken,
            details={"category": row["question_category"]},
        )


TASKS = with_and_without_subtitles(
    "longvideobench",
    "LongVideoBench",
    read,
    layout="lvb_val.json and videos/<video_path>",
    subtitles="subtitles/<subtitle_path>",
    source="https://huggingface.co/datasets/longvideobench/LongVideoBench",
)
