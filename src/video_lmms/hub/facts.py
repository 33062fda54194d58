# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Holding an original checkpoint against what is believed of it.

Nobody who wrote this package had the published weights at hand. What was inferred of their files (tails of
configurations, token ids, names, shapes and dtypes of tensors) is written down in `facts_<model>.py`, one row per
fact. Conversion reads every value from the files themselves; where a file differs from its row, a card or an estimate
of ours may be wrong, and a report of the difference helps.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ..conversion_scripts.checkpoint_files import (
    PICKLES,
    ConversionError,
    SourceTensor,
    read_folder,
    read_header,
    read_json,
)
from ..errors import NotAModelError
from .downloads import SOURCES


ABSENT = "absent"
# How sure one was when a fact was written down.
INFERRED, PUBLISHED = "inferred", "published"


class Fact(NamedTuple):
    """One belief about a checkpoint.

    Attributes:
        kind: how it is looked up, a key of [`LOOKUPS`].
        place: folder or file, from the checkpoint's folder; alternatives are divided by `|`, and may be patterns.
        name: what is looked up there: a dotted key, a token, a regular expression for tensors, a pattern for files.
        expected: the value; `ABSENT` where nothing is expected.
        sure: `INFERRED` or `PUBLISHED`.
    """

    kind: str
    place: str
    name: str
    expected: Any
    sure: str = INFERRED

    def __str__(self) -> str:
        place = self.place or "the folder"
        return f"{self.kind} {self.name} in {place}" if self.name else f"{self.kind} of {place}"


@dataclass
class Opinion:
    """What became of one fact.

    Attributes:
        fact: in words.
        expected: value.
        found: value, `ABSENT`, or why it cannot be read.
        agrees: whether they are equal.
        sure: how sure one was.
    """

    fact: str
    expected: Any
    found: Any
    agrees: bool
    sure: str


@dataclass
class Diagnosis:
    """All facts of one checkpoint."""

    directory: str
    checkpoint: str
    opinions: list[Opinion]

    @property
    def differing(self) -> list[Opinion]:
        """Facts that are not as believed."""
        return [opinion for opinion in self.opinions if not opinion.agrees]

    def lines(self) -> list[str]:
        """One line per difference, and a summary."""
        rows = [
            f"differs  {opinion.fact}: found {opinion.found!r}, {opinion.sure} {opinion.expected!r}"
            for opinion in self.differing
        ]
        agree = len(self.opinions) - len(rows)
        return [*rows, f"{self.directory} as {self.checkpoint}: {agree} of {len(self.opinions)} facts are as believed"]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def tables() -> dict[str, dict[str, list[Fact]]]:
    """Model -> checkpoint -> facts."""
    return {model: import_module(f".facts_{model}", __package__).FACTS for model in SOURCES}


def diagnose(directory: Path, checkpoint: str | None = None) -> Diagnosis:
    """Holds a folder with an original checkpoint against its facts.

    Args:
        directory: of the checkpoint; of all its pieces where it has several.
        checkpoint: which one it is; by default the one with the most facts that agree.

    Raises:
        NotAModelError: no folder, no such checkpoint, or a folder that has nothing of any.
    """
    if not directory.is_dir():
        raise NotAModelError(f"There is no folder {directory}.")
    known = {name: facts for model in tables().values() for name, facts in model.items()}
    if checkpoint is not None and checkpoint not in known:
        raise NotAModelError(f"There are no facts on {checkpoint!r}. Known: {', '.join(known)}.")
    names = [checkpoint] if checkpoint else list(known)
    _tensors.cache_clear()
    results = {name: [_look_up(directory, fact) for fact in known[name]] for name in names}
    best = max(results, key=lambda name: sum(opinion.agrees for opinion in results[name]) / len(results[name]))
    if all(opinion.found == ABSENT for opinion in results[best]):
        raise NotAModelError(f"{directory} holds nothing of any checkpoint that is known: {', '.join(known)}.")
    return Diagnosis(str(directory), best, results[best])


def _look_up(directory: Path, fact: Fact) -> Opinion:
    found: Any = ABSENT
    for place in fact.place.split("|"):
        paths = sorted(directory.glob(place)) if place else [directory]
        for path in paths:
            try:
                found = LOOKUPS[fact.kind](path, fact.name)
            except ConversionError as exc:
                found = str(exc)
            if found != ABSENT:
                break
        if found != ABSENT:
            break
    same = found == fact.expected or (
        isinstance(found, float) and isinstance(fact.expected, (int, float)) and math.isclose(found, fact.expected)
    )
    return Opinion(str(fact), fact.expected, found, same, fact.sure)


def _value(file: Path, key: str) -> Any:
    """A value of a JSON file, by its dotted key."""
    if not file.is_file():
        return ABSENT
    content: Any = read_json(file)
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return ABSENT
        content = content[part]
    return content


def _token(folder: Path, token: str) -> Any:
    """The id of a token, from whichever file tells it."""
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        content = read_json(tokenizer)
        added = {entry["content"]: entry["id"] for entry in content.get("added_tokens", [])}
        vocabulary = content.get("model", {}).get("vocab", {})
        if isinstance(vocabulary, list):  # unigram: pairs of token and score
            vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
        return (vocabulary | added).get(token, ABSENT)
    for name in ("added_tokens.json", "vocab.json"):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text(encoding="utf-8")).get(token)
            if found is not None:
                return found
    return ABSENT


@lru_cache(maxsize=8)
def _tensors(path: Path) -> Mapping[str, SourceTensor]:
    if path.is_file():
        return {tensor.name: tensor for tensor in read_header(path)}
    return read_folder(path)


def _matching(path: Path, pattern: str) -> list[SourceTensor]:
    if path.is_file() and path.suffix not in (*PICKLES, ".safetensors"):
        return []
    return [tensor for name, tensor in _tensors(path).items() if re.search(pattern, name)]


def _count(path: Path, pattern: str) -> int:
    return len(_matching(path, pattern))


def _dtypes(path: Path, pattern: str) -> Any:
    return "/".join(sorted({tensor.dtype for tensor in _matching(path, pattern)})) or ABSENT


def _shape(path: Path, pattern: str) -> Any:
    found = _matching(path, pattern)
    return list(found[0].shape) if found else ABSENT


def _elements(path: Path, pattern: str) -> int:
    return sum(math.prod(tensor.shape) for tensor in _matching(path, pattern))


def _size(path: Path, name: str) -> Any:
    return path.stat().st_size if path.is_file() else ABSENT


def _files(folder: Path, pattern: str) -> int:
    return len(list(folder.glob(pattern)))


LOOKUPS: dict[str, Callable[[Path, str], Any]] = {
    "value": _value,
    "token": _token,
    "number of tensors": _count,
    "dtype of tensors": _dtypes,
    "shape of tensor": _shape,
    "elements of tensors": _elements,
    "bytes": _size,
    "number of files": _files,
}
