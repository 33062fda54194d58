# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Asks a model every question of some tasks, and writes each answer down as it comes."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import HfHubHTTPError

from .predictor import Predictor, Prepared
from .records import SAMPLES, JsonLines, SampleRecord, join_samples, read_samples, start_run
from .tasks import Sample, Task, TaskDataError


PACKAGES = ("video-lmms", "torch", "transformers", "accelerate", "av", "numpy")
# Videos that a message about missing ones names.
SHOWN_VIDEOS = 3

Question = tuple[Task, Sample]


def versions() -> dict[str, str]:
    """Of everything that answers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def data_folder(data: str, task: Task) -> Path:
    """The folder of a task's files: FOLDER/<task> where there is one, FOLDER, or a data set of the Hub.

    Raises:
        TaskDataError: there is no such folder, and no such data set can be had.
    """
    folder = Path(data)
    if folder.is_dir() or task.kind == "word":
        own = folder / task.name
        return own if own.is_dir() else folder
    try:
        return Path(snapshot_download(data, repo_type="dataset"))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TaskDataError(
            f"{data}: neither a folder nor a data set that can be downloaded ({reason}). "
            f"{task.title} is at {task.source}."
        ) from error


def questions_of(samples: Mapping[str, list[Sample]], tasks: Iterable[Task], missing: str) -> list[Question]:
    """All questions, in order.

    Args:
        samples: of each task.
        tasks: in order.
        missing: what becomes of samples whose video is missing: "stop", or "skip".

    Raises:
        TaskDataError: videos are missing and must not be.
    """
    questions = [(task, sample) for task in tasks for sample in samples[task.name]]
    there = {sample.video: sample.video.exists() for _, sample in questions}
    absent = [str(video) for video, exists in there.items() if not exists]
    if absent and missing == "stop":
        more = f" and {len(absent) - SHOWN_VIDEOS} more" if len(absent) > SHOWN_VIDEOS else ""
        raise TaskDataError(
            f"{len(absent)} of {len(there)} videos are missing: {', '.join(absent[:SHOWN_VIDEOS])}{more}. "
            "Get them (archives have to be unpacked), or pass --missing skip to leave their questions out."
        )
    return [(task, sample) for task, sample in questions if there[sample.video]]


def record_of(task: Task, sample: Sample, answered: SampleRecord, style: str) -> SampleRecord:
    """A line of `samples.jsonl`."""
    medium = {"type": "video", "path": str(sample.video)}
    span = {name: value for name, value in (("start", sample.start), ("end", sample.end)) if value is not None}
    return {
        "task": task.name,
        "id": sample.id,
        "subset": sample.subset,
        "question": sample.question,
        **({"choices": list(sample.choices)} if sample.choices else {}),
        **answered,
        "expected": sample.expected,
        "media": [medium | span],
        "details": sample.details,
        "versions": {"task": str(task.version), "prompt": style},
    }


def prepared(predictor: Predictor, questions: list[Question]) -> Iterator[tuple[Task, Prepared]]:
    """Questions with their videos read; the next is read while the model answers the last.

    Not across tasks, for a task may bring settings of the model.
    """
    with ThreadPoolExecutor(1) as pool:
        ahead: Future | None = None
        for number, (task, sample) in enumerate(questions):
            current = ahead or pool.submit(predictor.prepare, task, sample)
            ready = current.result()
            following = questions[number + 1 : number + 2]
            same = bool(following) and following[0][0] is task
            ahead = pool.submit(predictor.prepare, *following[0]) if same else None
            yield task, ready


def answer_questions(
    folder: Path,
    predictor: Predictor,
    questions: list[Question],
    info: Mapping[str, Any],
    process: int = 0,
    processes: int = 1,
    wait: Callable[[], None] = lambda: None,
    advance: Callable[[int], None] = lambda steps: None,
) -> list[SampleRecord]:
    """Answers what has not been answered yet, appending each answer to the run's folder.

    Args:
        folder: of the run; one that was interrupted is continued.
        predictor: the model.
        questions: of all tasks, in order.
        info: what `run.json` says.
        process: number of this process.
        processes: how many share the questions.
        wait: returns when all processes have called it.
        advance: called with the number of questions answered since.

    Returns:
        all records of the run, in the order of the questions, where `process` is 0.

    Raises:
        RecordError: the folder holds another run.
    """
    if process == 0:
        start_run(folder, info)
    wait()
    done = {(record["task"], record["id"]) for record in read_samples(folder)}
    wait()  # no process writes before every process has read
    left = [question for question in questions if (question[0].name, question[1].id) not in done]
    own = left[process::processes]
    path = folder / (SAMPLES if processes == 1 else f"samples.{process}.jsonl")
    with JsonLines(path) as file:
        for task, ready in prepared(predictor, own):
            answered = predictor.answer(task, ready)
            file.append(record_of(task, ready.sample, answered, predictor.style.id))
            advance(1)
    wait()
    return join_samples(folder, [(task.name, sample.id) for task, sample in questions]) if process == 0 else []
