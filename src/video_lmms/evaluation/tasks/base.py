# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a benchmark is: samples read from the files in which its authors published it.

A task's module is a reader of those files and a [`Task`] that names it. How a sample is put into words, and how an
answer is read, is the business of `video_lmms.evaluation.prompts`; how answers are judged, of `judges`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import VideoLmmError


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
VIDEO_SUFFIXES = ("", ".mp4", ".mkv", ".webm", ".avi", ".mov", ".gif")


class TaskDataError(VideoLmmError):
    """A benchmark's files that are missing, or do not hold what their authors published."""


@dataclass(frozen=True)
class Sample:
    """One question about one video.

    Attributes:
        id: unique within the task.
        video: a file, or a folder of frames.
        question: as the benchmark has it.
        expected: the right letter (choice), the reference answer (open), or (start, end) in seconds (grounding); None
            where the authors keep it.
        choices: the options without their letters; none for open questions.
        subset: what results are broken down by.
        start: seconds; where the part in question begins. None: at the start.
        end: seconds; where it ends.
        subtitles: speech with its times, (start, end, text), where the task gives it to the model.
        details: what judges need besides.
    """

    id: str
    video: Path
    question: str
    expected: Any
    choices: tuple[str, ...] = ()
    subset: str = ""
    start: float | None = None
    end: float | None = None
    subtitles: tuple[tuple[float, float, str], ...] | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A benchmark.

    Attributes:
        name: on the command line.
        title: of the data, in tables and model cards.
        kind: "choice", "open", "chat" (rated by aspects), "grounding" or "word" (one word, compared exactly).
        read: folder -> samples, in the order of the files.
        layout: which files the folder holds, for error messages and `--list`.
        source: who published it.
        mean_over: "samples", or "subsets" where the authors report the mean of those.
        draw: makes the videos that are not there, where that can be done.
        version: of the reader; a run records it.
    """

    name: str
    title: str
    kind: str
    read: Callable[[Path], Iterator[Sample]]
    layout: str
    source: str
    mean_over: str = "samples"
    draw: Callable[[Sequence[Sample]], None] | None = None
    version: int = 1


def with_and_without_subtitles(
    name: str, title: str, read: Callable[[Path, bool], Iterator[Sample]], layout: str, subtitles: str, source: str
) -> tuple[Task, Task]:
    """A benchmark of choices, and the same one with the speech of its videos as `<name>_subtitles`.

    Args:
        name: on the command line.
        title: of the data.
        read: (folder, whether to read subtitles) -> samples.
        layout: which files the folder holds.
        subtitles: which files hold the speech.
        source: who published it.
    """
    return (
        Task(name, title, "choice", lambda folder: read(folder, False), layout, source),
        Task(
            f"{name}_subtitles",
            f"{title} with subtitles",
            "choice",
            lambda folder: read(folder, True),
            f"{layout}, {subtitles}",
            source,
        ),
    )


def read_rows(path: Path) -> Any:
    """Content of a .json file; a list of rows of a .jsonl, .csv or .parquet file.

    Raises:
        TaskDataError: no such file, or the reader of Parquet is not installed.
    """
    if not path.is_file():
        raise TaskDataError(f"{path}: no such file.")
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise TaskDataError(f"{path}: reading Parquet needs pyarrow (`pip install pyarrow`).") from error
    return parquet.read_table(path).to_pylist()


def find_file(folder: Path, *patterns: str) -> Path:
    """The first file, in alphabetical order, that the first matching pattern finds.

    Raises:
        TaskDataError: none of the patterns finds one.
    """
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            return found[0]
    raise TaskDataError(f"{folder} holds none of {', '.join(patterns)}.")


def find_video(folder: Path, places: Sequence[str], name: str) -> Path:
    """A video by its name, with or without suffix, in the first of some sub-folders that holds it.

    A video that is nowhere is named where it was expected first; the runner tells of all that are missing at once.
    """
    for place in places:
        for suffix in VIDEO_SUFFIXES:
            path = folder / place / f"{name}{suffix}"
            if path.exists():
                return path
    return folder / places[0] / (name if Path(name).suffix else f"{name}.mp4")


def letter_of(answer: str, choices: Sequence[str], where: str) -> str:
    """The letter of the option that equals the answer.

    Raises:
        TaskDataError: the answer is none of the options.
    """
    if answer not in choices:
        raise TaskDataError(f"{where}: the answer {answer!r} is none of the options {list(choices)}.")
    return LETTERS[list(choices).index(answer)]


def without_letter(option: str) -> str:
    """An option without the letter that some benchmarks write before it: "A. red" -> "red"."""
    text = option.strip()
    if len(text) > 1 and text[0] == "(" and text[1] in LETTERS and text[2:3] == ")":
        return text[3:].strip()
    if text[:1] in LETTERS and text[1:2] in (".", ")", ":"):
        return text[2:].strip()
    return text
