# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation run: what was asked, what was answered, how it was judged.

    run.json        what was run: tasks with their versions, model, arguments, package versions, seed, device
    samples.jsonl   one line per answered sample, appended when it is answered
    scores.jsonl    one line per judgement; a later line about the same sample, judge and aspect takes its place
    results.json    per task: metric, value, standard error, n, and the same by subset

A process that is killed loses at most the sample it was answering: a line is written whole or, where the machine stops
in between, cut off at the end of the file and dropped by the next run. Several processes write a file each,
`samples.<process>.jsonl`, which are joined in the order of the tasks when the run ends.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from ..errors import VideoLmmError


RUN, SAMPLES, SCORES, RESULTS = "run.json", "samples.jsonl", "scores.jsonl", "results.json"
# What a run that is resumed must share with the one that was interrupted.
SAME_ON_RESUME = ("tasks", "model", "arguments", "seed")
# Lines reach the kernel at once, which outlives a killed process, and the disk this often, which outlives the machine.
SYNC_SECONDS = 1.0


class RecordError(VideoLmmError):
    """A run's folder that cannot be read or continued."""


class SampleRecord(TypedDict, total=False):
    """A line of `samples.jsonl`. Lists about media hold one entry per medium; times are seconds in the whole clip.

    `chosen` is what a model that picks frames or tokens says of its choice. `versions` names task, prompt and parsing.
    """

    task: str
    id: str
    subset: str
    question: str
    choices: list[str]
    prompt: str
    answer: str
    parsed: Any
    expected: Any
    media: list[dict[str, Any]]
    frames: list[list[int]]
    times: list[list[float]]
    chosen: list[dict[str, Any]]
    num_video_tokens: int
    timing: dict[str, float]
    versions: dict[str, str]
    error: str


class ScoreRecord(TypedDict, total=False):
    """A line of `scores.jsonl`. `score` is 0..1, or 0..5 from a judge who rates; `aspect` is what was rated."""

    task: str
    id: str
    subset: str
    judge: str
    aspect: str
    score: float
    correct: bool
    reason: str


@dataclass
class Run:
    """A run as it stands on disk; of an unfinished one, what there is.

    Attributes:
        folder: where it lies.
        info: `run.json`.
        samples: in the order of the file.
        scores: the latest of each sample, judge and aspect.
        results: `results.json`, empty until the run is scored.
    """

    folder: Path
    info: dict[str, Any] = field(default_factory=dict)
    samples: list[SampleRecord] = field(default_factory=list)
    scores: list[ScoreRecord] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)


class JsonLines:
    """A file that grows by whole lines. Cut off at its end, it is mended when it is opened.

    Args:
        path: created where it is missing, with its folder.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(self.path)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._synced = time.monotonic()

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one line in one call, so that no reader and no crash sees half of it."""
        os.write(self._file, (json.dumps(record, ensure_ascii=False) + "\n").encode())
        if time.monotonic() - self._synced > SYNC_SECONDS:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def drop_torn_line(path: Path) -> None:
    """Cuts off what follows the last end of line."""
    if not path.exists():
        return
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return
            end = start
        file.truncate(0)


def read_lines(path: str | os.PathLike) -> Iterator[dict[str, Any]]:
    """The records of a file of JSON lines, none where there is no such file; a last line without an end is left out.

    Raises:
        RecordError: a line is no JSON object.
    """
    path = Path(path)
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise RecordError(f"{path}, line {number}: no JSON ({error}). Remove the line to go on.") from None
            if not isinstance(record, dict):
                raise RecordError(f"{path}, line {number}: an object is expected, got {type(record).__name__}.")
            yield record


def read_object(path: str | os.PathLike) -> dict[str, Any]:
    """A JSON object; an empty one where there is no such file.

    Raises:
        RecordError: the file holds something else.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RecordError(f"{path}: no JSON ({error}). Remove the file to write it anew.") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path}: an object is expected, got {type(content).__name__}.")
    return content


def write_object(path: str | os.PathLike, content: Mapping[str, Any]) -> None:
    """Writes a JSON file so that it is there whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_samples(folder: str | os.PathLike) -> list[SampleRecord]:
    """Answered samples, those of an unfinished run included; of two about the same sample, the first."""
    found: dict[tuple[str, str], SampleRecord] = {}
    for path in sample_files(Path(folder)):
        for record in read_lines(path):
            found.setdefault((record["task"], record["id"]), record)
    return list(found.values())


def sample_files(folder: Path) -> list[Path]:
    """`samples.jsonl` and what processes of an unfinished run have written beside it."""
    return [folder / SAMPLES, *sorted(folder.glob("samples.*.jsonl"))]


def read_scores(folder: str | os.PathLike, judge: str | None = None) -> list[ScoreRecord]:
    """Judgements, the latest of each sample, judge and aspect; of one judge, or of all."""
    found: dict[tuple[str, ...], ScoreRecord] = {}
    for record in read_lines(Path(folder) / SCORES):
        if judge is None or record["judge"] == judge:
            key = (record["task"], record["id"], record["judge"], record.get("aspect", ""))
            found.pop(key, None)
            found[key] = record
    return list(found.values())


def read_results(folder: str | os.PathLike) -> dict[str, Any]:
    """`results.json`: {"judge": name, "tasks": {task: {"metric", "value", "error", "n", "subsets", ...}}}."""
    return read_object(Path(folder) / RESULTS)


def read_run(folder: str | os.PathLike) -> Run:
    """Everything a run has written.

    Raises:
        RecordError: the folder holds no run, or a file of it is damaged.
    """
    folder = Path(folder)
    if not (folder / RUN).is_file():
        raise RecordError(f"{folder} holds no {RUN}. Give the --output folder of `video-lmms evaluate`.")
    return Run(folder, read_object(folder / RUN), read_samples(folder), read_scores(folder), read_results(folder))


def start_run(folder: str | os.PathLike, info: Mapping[str, Any]) -> None:
    """Writes `run.json`, or checks that the run in the folder is the same one, interrupted.

    Raises:
        RecordError: the folder holds a run of something else.
    """
    known = read_object(Path(folder) / RUN)
    wanted = json.loads(json.dumps(info))
    for key in SAME_ON_RESUME:
        if known and known.get(key) != wanted.get(key):
            raise RecordError(
                f"{folder} holds another run: its {key} is {json.dumps(known.get(key))}, this one's is "
                f"{json.dumps(wanted.get(key))}. Choose another --output, or remove the folder."
            )
    if not known:
        write_object(Path(folder) / RUN, info)


def join_samples(folder: str | os.PathLike, order: Iterable[tuple[str, str]]) -> list[SampleRecord]:
    """Makes one `samples.jsonl` of what all processes wrote, in the order of (task, id); answers with its records.

    Samples that are not in `order` keep their place at the end.
    """
    folder = Path(folder)
    found = {(record["task"], record["id"]): record for record in reversed(read_samples(folder))}
    ordered = [found.pop(key) for key in order if key in found]
    records = ordered + list(reversed(found.values()))
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    write_text(folder / SAMPLES, "".join(lines))
    for path in sample_files(folder)[1:]:
        path.unlink()
    return records
