# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-MME (arXiv 2405.21075): short, medium and long videos, with and without their subtitles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..longvu import parse_srt
from .base import Sample, find_file, find_video, read_rows, with_and_without_subtitles, without_letter


def read(folder: Path, subtitles: bool) -> Iterator[Sample]:
    """Samples, with the speech of each video that has a subtitle file, or without any."""
    for row in read_rows(find_file(folder, "videomme/test-*.parquet", "*.parquet", "test*.json")):
        srt = folder / "subtitle" / f"{row['videoID']}.srt"
        spoken = parse_srt(srt.read_text(encoding="utf-8")) if subtitles and srt.is_file() else None
        yield Sample(
            id=str(row["question_id"]),
            video=find_video(folder, ("data", "videos", "video"), row["videoID"]),
            question=row["question"],
            choices=tuple(without_letter(option) for option in row["options"]),
            expected=row["answer"],
            subset=row["duration"],
            subtitles=None if spoken is None else tuple((line.start, line.end, line.text) for line in spoken),
            details={"options": list(row["options"]), "type": row["task_type"], "domain": row["domain"]},
        )


TASKS = with_and_without_subtitles(
    "videomme",
    "Video-MME",
    read,
    layout="videomme/test-*.parquet and data/<videoID>.mp4",
    subtitles="subtitle/<videoID>.srt",
    source="https://huggingface.co/datasets/lmms-lab/Video-MME",
)
