# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-ChatGPT's generative benchmark (arXiv 2306.05424), VCG: five aspects of answers, rated 0 to 5 by a judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import Sample, Task, TaskDataError, find_video, read_rows


# File -> aspects that are rated.
ASPECTS = {
    "generic_qa": ("correctness", "detail", "context"),
    "temporal_qa": ("temporal",),
    "consistency_qa": ("consistency",),
}
PLACES = ("Test_Videos", "videos", "Videos")


def read(folder: Path) -> Iterator[Sample]:
    """Samples of all files that are there. The two questions of a consistency row are two samples with one `pair`.

    Raises:
        TaskDataError: no file is there.
    """
    present = [name for name in ASPECTS if (folder / f"{name}.json").is_file()]
    if not present:
        raise TaskDataError(f"{folder} holds none of {', '.join(f'{name}.json' for name in ASPECTS)}.")
    for name in present:
        for number, row in enumerate(read_rows(folder / f"{name}.json")):
            video = find_video(folder, PLACES, row["video_name"])
            keys = ("Q1", "Q2") if "Q1" in row else ("Q",)
            for key in keys:
                pair = {"pair": f"{name}/{number}"} if len(keys) == 2 else {}
                yield Sample(
                    id=f"{name}/{number}" + (f"/{key[1:]}" if pair else ""),
                    video=video,
                    question=row[key],
                    expected=row["A"],
                    subset=name,
                    details={"aspects": list(ASPECTS[name]), **pair},
                )


TASKS = (
    Task(
        name="vcg",
        title="VideoChatGPT benchmark (VCG)",
        kind="chat",
        read=read,
        layout="generic_qa.json, temporal_qa.json, consistency_qa.json and Test_Videos/<video_name>.mp4",
        source="https://github.com/mbzuai-oryx/Video-ChatGPT",
    ),
)
