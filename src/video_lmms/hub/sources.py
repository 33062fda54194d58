# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user may call a model: a folder, a Hub id, or the name of a configuration that ships with the package."""

from __future__ import annotations

import difflib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..conversion_scripts.checkpoint_files import PICKLES
from ..errors import NotAModelError, UnconvertedCheckpointError
from .originals import find_original


# Answers without `--model`: tiny, trained on the synthetic world, shipped with its weights.
DEFAULT_MODEL = "tiny-pllava"
# A real checkpoint to name to whoever met the tiny one.
REAL_CHECKPOINT = "ermu2001/pllava-7b"

_SHOWN_FILES = 5


def shipped_models() -> dict[str, Path]:
    """Name -> folder of every configuration that ships with the package, with or without weights."""
    root = Path(str(files("video_lmms.hub_configs")))
    return {path.name: path for path in sorted(root.iterdir()) if (path / "config.json").is_file()}


def has_weights(folder: Path) -> bool:
    """Whether a folder holds safetensors weights, in one file or in shards."""
    return (folder / "model.safetensors").is_file() or (folder / "model.safetensors.index.json").is_file()


def resolve(model: str | Path) -> str:
    """Turns what the user wrote into a folder or a Hub id that exists or may exist.

    Args:
        model: folder, Hub id, or name of a shipped configuration. A folder of that name wins.

    Returns:
        A path or a Hub id.

    Raises:
        NotAModelError: neither a folder, nor a shipped name, nor a possible Hub id.
    """
    if Path(model).is_dir():
        return str(model)
    if Path(model).suffix in PICKLES and Path(model).is_file():
        return str(model)  # perhaps the one file of an original
    if Path(model).is_file():
        raise NotAModelError(f"{model} is a file. Give the folder that holds config.json and the weights.")
    shipped = shipped_models()
    if str(model) in shipped:
        return str(shipped[str(model)])
    if "/" in str(model):
        try:
            validate_repo_id(str(model))
            return str(model)
        except HFValidationError:
            raise NotAModelError(f"There is no folder {model}.") from None
    close = difflib.get_close_matches(str(model), shipped, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise NotAModelError(
        f"There is no folder {model}, and the package ships no model of that name.{guess} Known names: "
        f"{', '.join(shipped)}; a Hub id has the form ORG/NAME."
    )


def check_is_model(
    source: str,
    model_types: set[str],
    config: dict[str, Any],
    *,
    weights: bool = True,
    trust_remote_code: bool = False,
) -> None:
    """Refuses what `load` cannot load, saying what was found.

    Args:
        source: a path or Hub id from `resolve`.
        model_types: the accepted values of `model_type`.
        config: content of the source's `config.json`, empty if there is none.
        weights: whether a folder has to hold weights.
        trust_remote_code: accept other types that bring their own code.

    Raises:
        UnconvertedCheckpointError: the layout of an original code.
        NotAModelError: anything else that is no model of this collection.
    """
    folder = Path(source)
    original = find_original(config, folder)
    if original is not None:
        raise UnconvertedCheckpointError(f"{source} {original.what}.", original.command)
    if folder.is_file():
        raise NotAModelError(f"{source} is a file. Give the folder that holds config.json and the weights.")
    if not config:
        raise NotAModelError(f"{source} is not a model: it has no config.json. Found: {_listing(folder)}.")
    if config.get("model_type") not in model_types and not (trust_remote_code and "auto_map" in config):
        remedy = (
            " It brings its own code: read it, then allow it with trust_remote_code=True (--trust-remote-code)."
            if "auto_map" in config
            else ""
        )
        raise NotAModelError(
            f"{source} holds a model of type {config.get('model_type')!r}. This package runs: "
            f"{', '.join(sorted(model_types))}.{remedy}"
        )
    if weights and folder.is_dir() and not has_weights(folder):
        raise NotAModelError(_no_weights(source, folder))


def read_config(folder: Path) -> dict[str, Any]:
    """Content of a folder's `config.json`, empty if there is none.

    Raises:
        NotAModelError: the file holds no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise NotAModelError(f"{path} is not valid JSON ({exc}). Download or convert the model again.") from exc
    if not isinstance(config, dict):
        raise NotAModelError(f"{path} holds {type(config).__name__}, not a configuration.")
    return config


def _no_weights(source: str, folder: Path) -> str:
    if folder in shipped_models().values():
        return (
            f"{folder.name} ships as a configuration only. Download the original checkpoint and convert it; "
            f"README.md of {folder} says how."
        )
    return f"{source} holds a configuration but no weights (*.safetensors). Found: {_listing(folder)}."


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return "nothing"
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more
