# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What converters read may lie on the Hub: of a repository only the files that they need are downloaded.

A source is a folder or file, or `ORG/NAME[/PATH][@REVISION]`. Downloads go to the cache of `huggingface_hub`, which
goes on where an earlier one stopped.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from ..conversion_scripts.checkpoint_files import LAYOUTS
from ..errors import NotAModelError


_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<path>[^@]+))?(?:@(?P<revision>.+))?")
# Configurations, tokenizers and templates; code and pictures are never read.
_SMALL = ("*.json", "*.txt", "*.model", "*.jinja", "*.yaml")


class Part(NamedTuple):
    """What a converter reads of a repository that one of its options names.

    Attributes:
        weights: whether it reads weights from it.
        deep: whether it reads sub-folders too.
    """

    weights: bool = True
    deep: bool = False


# Converter -> option -> what it reads; None stands for a single file. Options not named here are no sources.
SOURCES: dict[str, dict[str, Part | None]] = {
    "apollo": {"checkpoint": Part(deep=True), "weights": Part()},
    "longvu": {"checkpoint": Part(), "siglip": Part(), "dinov2": Part()},
    "pllava": {"model_dir": Part(), "weights_dir": Part()},
    "video_llama": {
        "llama": Part(),
        "vicuna_delta": Part(),
        **dict.fromkeys(("vit", "qformer", "minigpt4", "checkpoint", "audio_checkpoint", "imagebind", "config")),
    },
    "videotgb": {
        "checkpoint": None,
        "base": Part(weights=False, deep=True),
        "sampler_tokenizer": Part(weights=False),
        "sampler": None,
        "raft": None,
    },
}


class Downloaded(NamedTuple):
    """A source that was fetched.

    Attributes:
        path: where it lies now.
        origin: `ORG/NAME[/PATH]@COMMIT`.
    """

    path: Path
    origin: str


def fetch_sources(model: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Replaces Hub ids among a converter's options by folders and files.

    Args:
        model: the converter.
        options: its options.

    Returns:
        The options, and for those that came from the Hub, from where.

    Raises:
        NotAModelError: neither a folder or file, nor a readable repository.
    """
    fetched, origins = dict(options), {}
    for option, part in SOURCES.get(model, {}).items():
        value = options.get(option)
        if value is None or Path(value).exists() or not _HUB_ID.fullmatch(str(value)):
            continue
        downloaded = fetch(str(value), part)
        fetched[option], origins[option] = downloaded
    return fetched, origins


def fetch(source: str, part: Part | None) -> Downloaded:
    """Downloads what is needed of `ORG/NAME[/PATH][@REVISION]`.

    Raises:
        NotAModelError: no readable repository, or one without these files.
    """
    found = _HUB_ID.fullmatch(source)
    repo_id, inside, revision = found["repo"], found["path"] or "", found["revision"]
    commit = None
    try:
        info = HfApi().model_info(repo_id, revision=revision)
        commit = info.sha
        names = choose([sibling.rfilename for sibling in info.siblings or ()], inside, part)
        if not names:
            raise NotAModelError(f"{repo_id} on the Hub has no file {inside}" if inside else f"{repo_id} is empty")
        folder = snapshot_download(repo_id, revision=commit, allow_patterns=[_literally(name) for name in names])
    except (HfHubHTTPError, HFValidationError, OSError) as exc:
        if commit is not None:  # the repository is there: the download itself failed
            raise NotAModelError(
                f"{source}: the download failed, start again to go on with it ({_reason(exc)})"
            ) from exc
        folder = _from_cache(source, repo_id, revision, exc)
    path = Path(folder, inside)
    if not path.exists():
        raise NotAModelError(f"{source}: there is no {inside} in what was downloaded earlier to {folder}.")
    return Downloaded(path, f"{repo_id}{'/' + inside if inside else ''}@{Path(folder).name}")


def choose(names: Iterable[str], inside: str, part: Part | None) -> list[str]:
    """The files of a repository that a converter needs.

    Of weights that a folder holds twice, the safetensors are chosen, as the converters choose.

    Args:
        names: all files of the repository.
        inside: the folder or file that is asked for; empty for all of it.
        part: how much of it is read; None for a single file.
    """
    if part is None:
        return [name for name in names if name == inside]
    below = [PurePosixPath(name) for name in names if not inside or PurePosixPath(name).is_relative_to(inside)]
    if not part.deep:
        below = [path for path in below if path.parent == PurePosixPath(inside)]
    if [str(path) for path in below] == [inside]:  # a file, given for a folder
        return [inside]
    wanted = [path for path in below if any(path.match(pattern) for pattern in _SMALL)]
    indices = {index for index, _, _ in LAYOUTS}
    wanted = [path for path in wanted if path.name not in indices]
    if part.weights:
        for folder in sorted({path.parent for path in below}):
            wanted += _weights([path for path in below if path.parent == folder])
    return sorted(map(str, set(wanted)))


def _weights(files: list[PurePosixPath]) -> list[PurePosixPath]:
    """Index and shards, or the single file, of the first layout that a folder has."""
    for index, shards, single in LAYOUTS:
        sharded = [path for path in files if path.name == index or fnmatch.fnmatch(path.name, shards)]
        chosen = sharded or [path for path in files if path.name == single]
        if chosen:
            return chosen
    return []


def _from_cache(source: str, repo_id: str, revision: str | None, problem: Exception) -> str:
    """What an earlier download left, where the Hub cannot be asked."""
    try:
        return snapshot_download(repo_id, revision=revision, local_files_only=True)
    except (OSError, HFValidationError):
        raise NotAModelError(
            f"There is no {source} here, and the Hub has no readable repository {repo_id}: {_reason(problem)}"
        ) from problem


def _literally(name: str) -> str:
    """A pattern that matches one name only."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _reason(problem: Exception) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[0]
