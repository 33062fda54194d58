# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Files of annotations to chat rows, checked before training starts:

    rows = read_rows(["train.jsonl", "videochat2.json"], media_root="videos/")

JSONL, JSON, CSV, Parquet, a folder written by `datasets.save_to_disk`, or a data set of the Hub; in our own format or
in any of `data.annotations`. Nothing is decoded here: a row names its media, and the collator's workers read them.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from video_lmms.data.annotations import MEDIA_KINDS, ROLES, Row, format_of, items_of
from video_lmms.data.collator import ChatRowError, to_conversation
from video_lmms.errors import VideoLmmError


# One list names every problem, but not without end.
_SHOWN_PROBLEMS = 20


class DataError(VideoLmmError, ValueError):
    """Annotations that cannot be trained on.

    Attributes:
        problems: one `place: what is wrong` per problem found.
    """

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        more = len(self.problems) - _SHOWN_PROBLEMS
        shown = self.problems[:_SHOWN_PROBLEMS] + ([f"... and {more} more"] if more > 0 else [])
        super().__init__("The annotations cannot be used as they are:\n  " + "\n  ".join(shown))


def read_rows(
    sources: Sequence[str | os.PathLike],
    media_root: str | os.PathLike = "",
    *,
    split: str = "train",
    skip_missing_media: bool = False,
) -> list[Row]:
    """Reads and checks all rows of all sources.

    Args:
        sources: files, folders or ids of data sets.
        media_root: where relative media paths begin.
        split: of data sets that have several.
        skip_missing_media: leave rows out whose files are missing, instead of refusing; how many is logged.

    Returns:
        Rows with `messages` (or `prompt` and `completion`), in order.

    Raises:
        DataError: any row is malformed or names a missing file; every problem is listed with its file and line.
    """
    rows, problems, missing = [], [], []
    for source in sources:
        for place, item in read_items(source, split):
            try:
                row = format_of(item).convert(item, Path(media_root))
                check_row(row)
            except (ChatRowError, KeyError, TypeError) as error:
                problems.append(f"{place}: {_reason(error)}")
                continue
            absent = [path for path in media_files(row) if not Path(path).exists()]
            missing += [f"{place}: {path} does not exist" for path in absent]
            if not absent:
                rows.append(row)
    if problems or (missing and not skip_missing_media):
        raise DataError([*problems, *([] if skip_missing_media else missing)])
    if not rows:
        raise DataError([f"{', '.join(map(str, sources)) or 'no source'}: no row is left"])
    if missing:
        _log_skipped(missing)
    return rows


def read_items(source: str | os.PathLike, split: str = "train") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Items of one source with the place they stand at, `file:line` where the format has lines.

    Raises:
        DataError: the source cannot be read.
    """
    path = Path(source)
    reader = _READERS.get(path.suffix.lower())
    if reader is not None:
        try:
            yield from reader(path)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError([f"{path}: {error}"]) from error
        return
    for number, item in enumerate(_load_dataset(source, split)):
        yield f"{source}[{number}]", item


def check_row(row: Row) -> None:
    """Checks a row's form: known roles, known parts, an answer to learn.

    Raises:
        ChatRowError: what is wrong.
    """
    messages, known_turns = to_conversation(row)
    answers = 0
    for number, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in set(ROLES.values()):
            raise ChatRowError(f"message {number} has the role {role!r}; known are {', '.join(set(ROLES.values()))}")
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            check_part(part, number)
        answers += role == "assistant" and bool(content)
    if answers <= known_turns:
        raise ChatRowError("no message of the assistant is left to learn from")


def check_part(part: Mapping[str, Any], number: int) -> None:
    """Checks one part of message `number`: its kind, its source, and that it ends after it starts."""
    kind = part.get("type")
    if kind not in ("text", *MEDIA_KINDS):
        raise ChatRowError(f"message {number} has a part of type {kind!r}; known are text, {', '.join(MEDIA_KINDS)}")
    if kind == "text" and not isinstance(part.get("text"), str):
        raise ChatRowError(f"message {number} has a text part without `text`")
    start, end = part.get("start"), part.get("end")
    if start is not None and end is not None and not 0 <= start < end:
        raise ChatRowError(f"message {number} shows seconds {start} to {end}; `start` must come before `end`")


def media_files(row: Row) -> Iterator[str]:
    """Paths on this machine that a row names."""
    messages, _ = to_conversation(row)
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            source = next((part[key] for key in (*MEDIA_KINDS, "path") if key in part), None)
            if isinstance(source, str) and "://" not in source:
                yield source


def _jsonl(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{path}:{number}", _parse(line, f"{path}:{number}")


def _json(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    content = _parse(path.read_text(encoding="utf-8"), str(path))
    try:
        items = items_of(content)
    except ChatRowError as error:
        raise DataError([f"{path}: {error}"]) from error
    for number, item in enumerate(items):
        yield f"{path}[{number}]", item


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        for item in reader:
            yield f"{path}:{reader.line_num}", item


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from datasets import Dataset

    for number, item in enumerate(Dataset.from_parquet(str(path))):
        yield f"{path}[{number}]", item


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Mapping[str, Any]]]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _load_dataset(source: str | os.PathLike, split: str) -> Iterable[Mapping[str, Any]]:
    from datasets import Dataset, load_dataset, load_from_disk

    try:
        data = load_from_disk(str(source)) if Path(source).is_dir() else load_dataset(str(source), split=split)
        return data if isinstance(data, Dataset) else data[split]
    except (OSError, ValueError, KeyError) as error:
        kinds = ", ".join(_READERS)
        raise DataError([f"{source}: no {kinds} file, saved data set or data set of the Hub: {error}"]) from error


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError([f"{place}: not JSON: {error}"]) from error


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _log_skipped(missing: list[str]) -> None:
    import logging

    logging.getLogger(__name__).warning(
        "%d media files are missing, their rows are left out: %s", len(missing), missing[0]
    )


__all__ = ["DataError", "check_row", "media_files", "read_items", "read_rows"]
