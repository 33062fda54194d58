# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks by name. Each module reads the files in which a benchmark was published."""

from __future__ import annotations

import difflib
from pathlib import Path

from . import (
    apollobench,
    charades_sta,
    egoschema,
    longvideobench,
    mlvu,
    mvbench,
    nextqa,
    perceptiontest,
    tempcompass,
    video_qa,
    videochatgpt,
    videomme,
    world,
)
from .base import Sample, Task, TaskDataError


MODULES = (
    mvbench,
    videochatgpt,
    video_qa,
    videomme,
    mlvu,
    egoschema,
    longvideobench,
    perceptiontest,
    tempcompass,
    nextqa,
    charades_sta,
    apollobench,
    world,
)
TASKS: dict[str, Task] = {task.name: task for module in MODULES for task in module.TASKS}


def find_task(name: str) -> Task:
    """A benchmark by its name.

    Raises:
        TaskDataError: there is none of that name.
    """
    if name not in TASKS:
        close = difflib.get_close_matches(name, TASKS, n=1)
        guess = f" Did you mean {close[0]}?" if close else ""
        raise TaskDataError(f"There is no task {name!r}.{guess} Tasks: {', '.join(TASKS)}.")
    return TASKS[name]


def read_samples(task: Task, folder: Path, limit: int | None = None) -> list[Sample]:
    """The samples of a task, evenly thinned to `limit` where there are more.

    Raises:
        TaskDataError: files are missing, hold no sample, lack a column, or name a sample twice.
    """
    try:
        samples = list(task.read(folder))
    except (KeyError, IndexError, TypeError) as error:
        raise TaskDataError(
            f"{folder} does not hold {task.title} as published ({type(error).__name__}: {error}). "
            f"Expected: {task.layout}; see {task.source}."
        ) from error
    if not samples:
        raise TaskDataError(f"{folder} holds no samples of {task.title}. Expected: {task.layout}.")
    if len({sample.id for sample in samples}) < len(samples):
        raise TaskDataError(f"{folder}: two samples of {task.title} share an id.")
    if limit is not None and limit < len(samples):
        samples = [samples[number * len(samples) // limit] for number in range(limit)]
    if task.draw is not None:
        task.draw(samples)
    return samples


__all__ = ["TASKS", "Sample", "Task", "TaskDataError", "find_task", "read_samples"]
