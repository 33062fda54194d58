# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Open questions with short answers, as Video-ChatGPT prepared them and PLLaVA and VideoTGB report them: MSVD-QA,
MSRVTT-QA, ActivityNet-QA and TGIF-QA (frame questions).

`test_q.json` and `test_a.json` belong together by position.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .base import Sample, Task, TaskDataError, find_video, read_rows


def read(folder: Path, places: tuple[str, ...], prefix: str) -> Iterator[Sample]:
    """Samples in the order of the files.

    Args:
        folder: holds both files and the videos.
        places: sub-folders that may hold the videos.
        prefix: of the videos' names.

    Raises:
        TaskDataError: the files do not belong together.
    """
    questions, answers = read_rows(folder / "test_q.json"), read_rows(folder / "test_a.json")
    if len(questions) != len(answers):
        raise TaskDataError(f"{folder}: test_q.json has {len(questions)} rows, test_a.json has {len(answers)}.")
    for number, (asked, known) in enumerate(zip(questions, answers, strict=True)):
        yield Sample(
            id=str(asked.get("question_id", number)),
            video=find_video(folder, places, f"{prefix}{asked['video_name']}"),
            question=asked["question"],
            expected=str(known["answer"]),
            subset=str(known.get("type", "")),
        )


def task(name: str, title: str, places: tuple[str, ...], prefix: str = "") -> Task:
    reader = partial(read, places=places, prefix=prefix)
    layout = f"test_q.json, test_a.json and {places[0]}/{prefix}<video_name>.*"
    return Task(name, title, "open", reader, layout, "https://github.com/mbzuai-oryx/Video-ChatGPT")


TASKS = (
    task("msvd_qa", "MSVD-QA", ("videos", "YouTubeClips")),
    task("msrvtt_qa", "MSRVTT-QA", ("videos", "all")),
    task("activitynet_qa", "ActivityNet-QA", ("all_test", "videos"), prefix="v_"),
    task("tgif_qa", "TGIF-QA (frame questions)", ("mp4", "videos", "gifs")),
)
