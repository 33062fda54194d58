# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Model folders on disk: reading and writing their JSON files, and filling a new one atomically."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..conversion_scripts.weight_files import MANIFEST as PROVENANCE
from ..conversion_scripts.weight_files import write_json
from ..errors import BundleError


__all__ = ["PROVENANCE", "is_bundle", "read_json", "staged", "write_json"]


def read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file, or an empty dict where there is none.

    Raises:
        BundleError: the file holds something else than a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise BundleError(f"{path}: not valid JSON ({exc}).") from exc
    if not isinstance(content, dict):
        raise BundleError(f"{path}: expected a JSON object, found {type(content).__name__}.")
    return content


def is_bundle(directory: Path) -> bool:
    """Whether a folder was written by `bundle` or `bundle_folder`."""
    return "bundle" in read_json(directory / PROVENANCE)


@contextmanager
def staged(directory: Path, overwrite: bool) -> Iterator[Path]:
    """A new folder beside `directory` that takes its place at the end; after an error nothing is left of it.

    Args:
        directory: the final folder. An existing one has to be empty or a bundle unless `overwrite` is set.
        overwrite: replace whatever folder is there.

    Raises:
        BundleError: something else stands in the way.
    """
    if directory.exists() and not directory.is_dir():
        raise BundleError(f"{directory} is a file; a bundle is a folder. Choose another path.")
    occupied = directory.is_dir() and any(directory.iterdir())
    if occupied and not (overwrite or is_bundle(directory)):
        raise BundleError(
            f"{directory} is not empty and is no earlier bundle. Choose another folder, or pass overwrite=True to "
            "replace all it holds."
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    stage, old = (directory.with_name(f".{directory.name}.bundle{suffix}") for suffix in ("", ".old"))
    # What a killed run left: the replaced folder, if its successor was not in place yet, and half a stage.
    if old.exists() and not directory.exists():
        old.rename(directory)
    for path in (stage, old):
        shutil.rmtree(path, ignore_errors=True)
    stage.mkdir()
    try:
        yield stage
        _swap(stage, directory, old)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _swap(stage: Path, directory: Path, old: Path) -> None:
    if not directory.exists():
        stage.rename(directory)
        return
    # Two renames: a reader finds the old folder, or for an instant none, or the new one, never a mixture.
    directory.rename(old)
    try:
        stage.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old)
