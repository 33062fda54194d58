# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Captions for many videos: on this machine, in one process or several, or on many machines as a Ray Data pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import VideoLmmError
from .pllava import RECAPTION_REQUEST
from .predictor import Predictor
from .records import JsonLines, read_lines, write_text
from .runner import prepared
from .tasks.base import VIDEO_SUFFIXES, Sample, Task


if TYPE_CHECKING:
    from ray.data import Dataset


# Requests by name. PLLaVA's own goes with the system text of its recaptioning, where the model has that prompt.
REQUESTS = {
    "recaption": RECAPTION_REQUEST,
    "describe": "Describe the video in detail.",
    "brief": "Describe the video in one sentence.",
}
OUTPUTS = (".jsonl", ".parquet")


class CaptionError(VideoLmmError):
    """A list of videos, or an output, that captioning cannot go on with."""


def _no_samples(folder: Path) -> Iterable[Sample]:
    raise CaptionError("Captions are asked for videos, not for a benchmark.")


TASK = Task("captions", "captions", "caption", _no_samples, "", "")


def find_videos(words: Sequence[str]) -> list[str]:
    """Videos named by files, folders (searched through) and lists (.txt with a path a line, .jsonl with `video`).

    Raises:
        CaptionError: something is missing, or there is no video.
    """
    videos: dict[str, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES[1:])
            videos |= dict.fromkeys(map(str, found))
        elif path.suffix in (".txt", ".jsonl") and path.is_file():
            videos |= dict.fromkeys(listed(path))
        elif path.is_file() or word.startswith(("http://", "https://")):
            videos[word] = None
        else:
            raise CaptionError(f"{word}: no such file or folder.")
    if not videos:
        raise CaptionError(f"{', '.join(words)}: no videos there ({', '.join(VIDEO_SUFFIXES[1:])}).")
    return list(videos)


def listed(path: Path) -> list[str]:
    """Videos of a list; relative paths start at the list's folder.

    Raises:
        CaptionError: a line of a .jsonl list names no video.
    """
    if path.suffix == ".jsonl":
        rows = list(read_lines(path))
        if lacking := [number for number, row in enumerate(rows, 1) if not isinstance(row.get("video"), str)]:
            raise CaptionError(f"{path}, line {lacking[0]}: no `video`.")
        names = [row["video"] for row in rows]
    else:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [name if "://" in name else str(path.parent / name) for name in names]


def request_of(name: str, text: str | None) -> tuple[str, str]:
    """Name and text of what is asked; a text of the caller's own is called "own".

    Raises:
        CaptionError: there is no request of that name.
    """
    if text is not None:
        return "own", text
    if name not in REQUESTS:
        raise CaptionError(f"There is no request {name!r}. Requests: {', '.join(REQUESTS)}.")
    return name, REQUESTS[name]


def record_of(video: str, request: str, answered: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """A line of the output."""
    told = {name: answered[name] for name in ("error", "num_video_tokens", "timing") if name in answered}
    frames = {name: answered[name][0] for name in ("frames", "times") if answered[name]}
    return {"video": video, "caption": answered["answer"], "request": request, **facts, **frames, **told}


def caption_videos(
    output: Path,
    predictor: Predictor,
    videos: Sequence[str],
    request: tuple[str, str],
    facts: dict[str, Any],
    process: int = 0,
    processes: int = 1,
    wait: Callable[[], None] = lambda: None,
    advance: Callable[[int], None] = lambda steps: None,
) -> int:
    """Captions what has no caption yet, a line at a time, and joins the lines in the order of the videos.

    Args:
        output: .jsonl or .parquet file.
        predictor: the model.
        videos: paths or URLs.
        request: its name and text.
        facts: on the model, equal for all lines.
        process: number of this process.
        processes: how many share the videos.
        wait: returns when all processes have called it.
        advance: called with the number of videos captioned since.

    Returns:
        how many videos could not be read.

    Raises:
        CaptionError: the output is of another kind, or holds captions of another model or request.
    """
    if output.suffix not in OUTPUTS:
        raise CaptionError(f"{output}: the output is a {' or '.join(OUTPUTS)} file.")
    lines = output if output.suffix == ".jsonl" else output.with_suffix(".partial.jsonl")
    if output != lines and process == 0:
        reopen_parquet(output, lines)
    wait()
    known = known_captions(lines, request[0], facts)
    wait()  # no process writes before every process has read
    left = [video for video in videos if video not in known][process::processes]
    own = lines if processes == 1 else lines.with_suffix(f".{process}.jsonl")
    with JsonLines(own) as file:
        questions = [(TASK, Sample(video, as_path(video), request[1], None)) for video in left]
        for task, ready in prepared(predictor, questions):
            file.append(record_of(ready.sample.id, request[0], predictor.answer(task, ready), facts))
            advance(1)
    wait()
    if process:
        return 0
    records = known_captions(lines, request[0], facts)
    ordered = [records[video] for video in videos if video in records]
    ordered += [record for video, record in records.items() if video not in set(videos)]
    write_output(output, lines, ordered)
    return sum("error" in record for record in ordered)


def as_path(video: str) -> Any:
    """A path; a URL stays as it is, for a path would swallow one of its slashes."""
    return video if "://" in video else Path(video)


def known_captions(lines: Path, request: str, facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What earlier processes wrote, by video.

    Raises:
        CaptionError: another model or request wrote it.
    """
    records: dict[str, dict[str, Any]] = {}
    for path in (lines, *sorted(lines.parent.glob(f"{lines.stem}.[0-9]*.jsonl"))):
        for record in read_lines(path):
            records.setdefault(record["video"], record)
    wanted = {"request": request, **facts}
    for record in records.values():
        different = [name for name, value in wanted.items() if record.get(name) != value]
        if different:
            name = different[0]
            raise CaptionError(
                f"{lines} holds captions whose {name} is {record.get(name)!r}, not {wanted[name]!r}. Choose another "
                "--output, or remove the file."
            )
    return records


def reopen_parquet(output: Path, lines: Path) -> None:
    """A finished Parquet file as lines again, to which more can be added.

    Raises:
        CaptionError: pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise CaptionError(f"{output}: Parquet needs pyarrow (`pip install pyarrow`). Or write .jsonl.") from error
    if output.exists() and not lines.exists():
        rows = parquet.read_table(output).to_pylist()
        whole = [{name: value for name, value in row.items() if value is not None} for row in rows]
        write_text(lines, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in whole))


def write_output(output: Path, lines: Path, records: Sequence[dict[str, Any]]) -> None:
    """The finished file, in place of what the processes wrote."""
    write_text(lines, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    for path in lines.parent.glob(f"{lines.stem}.[0-9]*.jsonl"):
        path.unlink()
    if output != lines:
        from pyarrow import Table, parquet

        part = output.with_name(f".{output.name}.part")
        parquet.write_table(Table.from_pylist(list(records)), part)
        os.replace(part, output)
        lines.unlink()


class RayCaptioner:
    """A model on one worker of a Ray cluster: a batch of rows with `video` in, rows with captions out."""

    def __init__(self, model: str, style: str | None, request: tuple[str, str], max_new_tokens: int | None):
        from ..cli.answering import Answerer
        from .model_predictor import ModelPredictor

        self.model, self.request = model, request
        self.predictor = ModelPredictor(Answerer(model, None, None, False), style, max_new_tokens)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        samples = [Sample(str(video), as_path(str(video)), self.request[1], None) for video in batch["video"]]
        answered = [self.predictor.answer(TASK, self.predictor.prepare(TASK, sample)) for sample in samples]
        return {
            "video": [sample.id for sample in samples],
            "caption": [record["answer"] for record in answered],
            "request": [self.request[0]] * len(samples),
            "model": [self.model] * len(samples),
            "num_video_tokens": [record.get("num_video_tokens", 0) for record in answered],
            "error": [record.get("error", "") for record in answered],
        }


def ray_captions(
    videos: Sequence[str] | Dataset,
    model: str,
    request: tuple[str, str],
    *,
    style: str | None = None,
    max_new_tokens: int | None = None,
    workers: int = 1,
    gpus: float = 0.0,
    batch_size: int = 4,
) -> Dataset:
    """The same work as a Ray Data pipeline, lazily: write what it answers with `write_json` or `write_parquet`.

    Args:
        videos: paths or URLs that every worker can read, or a data set with a column `video`.
        model: folder, Hub id or shipped name, as every worker can load it.
        request: name and text.
        style: prompt style; None takes that of the model's paper.
        max_new_tokens: longest caption.
        workers: models at a time.
        gpus: of each worker.
        batch_size: videos that a worker takes at a time.

    Raises:
        CaptionError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise CaptionError('Pipelines over many machines need Ray: pip install "video-lmms[ray]".') from error
    rows = (
        videos if isinstance(videos, ray.data.Dataset) else ray.data.from_items([{"video": name} for name in videos])
    )
    return rows.map_batches(
        RayCaptioner,
        fn_constructor_args=(model, style, request, max_new_tokens),
        concurrency=workers,
        batch_size=batch_size,
        num_gpus=gpus,
    )


__all__ = ["REQUESTS", "CaptionError", "RayCaptioner", "caption_videos", "find_videos", "ray_captions", "request_of"]
