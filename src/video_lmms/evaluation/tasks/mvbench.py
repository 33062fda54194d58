# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""MVBench (arXiv 2311.17005): twenty tasks of two hundred multiple-choice questions each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import Sample, Task, TaskDataError, find_video, letter_of, read_rows


# Task -> folder of its videos, below video/ or beside json/.
FOLDERS = {
    "action_sequence": "star/Charades_v1_480",
    "action_prediction": "star/Charades_v1_480",
    "action_antonym": "ssv2_video",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "unexpected_action": "FunQA_test/test",
    "object_existence": "clevrer/video_validation",
    "object_interaction": "star/Charades_v1_480",
    "object_shuffle": "perception/videos",
    "moving_direction": "clevrer/video_validation",
    "action_localization": "sta/sta_video",
    "scene_transition": "scene_qa/video",
    "action_count": "perception/videos",
    "moving_count": "clevrer/video_validation",
    "moving_attribute": "clevrer/video_validation",
    "state_change": "perception/videos",
    "fine_grained_pose": "nturgbd",
    "character_order": "perception/videos",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa/frames_fps3_hq",
    "counterfactual_inference": "clevrer/video_validation",
}
# Frames per second of the folders of frames that stand for videos. Their files are numbered from 1, and so are the
# bounds of a question: frame 1 is at second 0 for everybody else.
FRAME_FOLDER_FPS = 3.0


def read(folder: Path) -> Iterator[Sample]:
    """Samples of all tasks whose file is there; a part of the benchmark is a set of data too.

    Raises:
        TaskDataError: no task's file is there.
    """
    present = [name for name in FOLDERS if (folder / "json" / f"{name}.json").is_file()]
    if not present:
        raise TaskDataError(f"{folder}/json holds none of MVBench's files, such as action_sequence.json.")
    for name in present:
        path = folder / "json" / f"{name}.json"
        places = (f"video/{FOLDERS[name]}", FOLDERS[name])
        fps = FRAME_FOLDER_FPS if name == "episodic_reasoning" else None
        shift = 1 / fps if fps else 0.0
        for number, row in enumerate(read_rows(path)):
            bounds = {key: max(0.0, row[key] - shift) for key in ("start", "end") if key in row}
            yield Sample(
                id=f"{name}/{number}",
                video=find_video(folder, places, row["video"]),
                question=row["question"],
                choices=tuple(row["candidates"]),
                expected=letter_of(row["answer"], row["candidates"], f"{path}, row {number}"),
                subset=name,
                details={"folder_fps": fps} if fps else {},
                **bounds,
            )


TASK = Task(
    name="mvbench",
    title="MVBench",
    kind="choice",
    read=read,
    layout="json/<task>.json and video/<source>/..., as in the Hub's OpenGVLab/MVBench with its archives unpacked",
    source="https://huggingface.co/datasets/OpenGVLab/MVBench",
)
TASKS = (TASK,)
