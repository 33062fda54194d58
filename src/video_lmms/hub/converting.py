# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Conversion with all that belongs to it: sources from the Hub, terms of the weights, a stored answer.

The scripts in `conversion_scripts/` turn local files into a folder. What is added here goes into the same folder
before it gets its name, so that a killed run leaves nothing under it, and a rerun finishes what was begun.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from huggingface_hub import constants
from transformers import PreTrainedModel, ProcessorMixin

from .. import __version__
from ..conversion_scripts.conversion import ConversionError, parse_size
from ..errors import NotAModelError, VideoLmmError
from .checks import record_check
from .downloads import SOURCES, fetch_sources
from .folders import PROVENANCE, read_json, write_json
from .licences import terms_of
from .loading import first_line, load, stored_config
from .originals import find_original


# Where `load_original` keeps what it converted.
CACHE_VARIABLE = "VIDEO_LMMS_CACHE"

Tell = Callable[[str], None]


def script_of(model: str) -> ModuleType:
    """The conversion script of a model."""
    return import_module(f"video_lmms.conversion_scripts.convert_{model}")


def convert(
    model: str, arguments: Sequence[str], *, store_answer: bool | None = None, tell: Tell = lambda line: None
) -> Path:
    """Converts an original checkpoint, as `video-lmms convert` does.

    Args:
        model: name of the converter.
        arguments: its command line; folders and files may be named by Hub id, `ORG/NAME[/PATH][@REVISION]`.
        store_answer: load the result, ask it a question and store the answer for `verify`. None: only where the
            weights are no larger than one shard, so that memory stays what a conversion needs.
        tell: receives a line for the reader.

    Returns:
        The folder written.

    Raises:
        ConversionError: the source is incomplete, damaged or inconsistent; nothing is left behind.
        NotAModelError: a Hub id leads nowhere.
    """
    script = script_of(model)
    options, origins = fetch_sources(model, vars(script.parse_arguments(arguments)))
    output = Path(options["output"])
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        script.convert(**options)  # it is this very conversion already, or the script refuses
        if store_answer and "check" not in read_json(output / PROVENANCE):
            _store_answer(output, tell)
        return output
    stage = output.with_name(f".{output.name}.converted")
    _convert_into(script, options, stage)
    _add_facts(stage, origins)
    shard = parse_size(options.get("max_shard_size", "5GB"))
    if store_answer or (store_answer is None and _weight_bytes(stage) <= shard):
        _store_answer(stage, tell)
    else:
        tell(f"No answer is stored: `video-lmms verify {output} --record` asks the model and stores one.")
    if output.exists():
        output.rmdir()
    os.replace(stage, output)
    return output


def _convert_into(script: ModuleType, options: Mapping[str, Any], stage: Path) -> None:
    """Runs the script; what an interrupted run of other options left is replaced."""
    before = stage.exists()
    try:
        script.convert(**{**options, "output": stage})
    except ConversionError:
        if not before:
            raise
        shutil.rmtree(stage)
        script.convert(**{**options, "output": stage})


def _add_facts(folder: Path, origins: Mapping[str, str]) -> None:
    """Where the files came from, and under which terms."""
    content = read_json(folder / PROVENANCE)
    if origins:
        content["origin"] = dict(origins)
        content.setdefault("base_model", next(iter(origins.values())).split("@")[0])
    terms = terms_of(read_json(folder / "config.json"), content)
    if terms is not None:
        content = {**terms.header, **content, "weights_licence": terms.name}
    write_json(folder / PROVENANCE, content)


def _store_answer(folder: Path, tell: Tell) -> None:
    """Asks the model. A conversion is complete without an answer, so that a question it cannot take is only told."""
    try:
        model, processor = load(folder)
        record = record_check(model, processor, folder)
    except (VideoLmmError, ValueError, RuntimeError) as exc:
        tell(f"No answer is stored, the model could not give one: {first_line(exc)}")
        return
    tell(f"Stored answer: {record['answer']!r}")


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def load_original(
    source: str | os.PathLike,
    *,
    model: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    cache_dir: str | os.PathLike | None = None,
    **options: Any,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Loads an original checkpoint, converting it into a cache the first time.

    Args:
        source: folder, file or Hub id of an original checkpoint.
        model: which converter; recognised by default.
        device: where to put the model, as in [`load`].
        dtype: to convert to and to load in. Defaults to bfloat16.
        cache_dir: of converted checkpoints. Defaults to `$VIDEO_LMMS_CACHE`, else `video_lmms` in Hugging Face's home.
        options: of the converter, by their names in Python, such as `lora_alpha=32` or `siglip="DIR_OR_ID"`.

    Returns:
        The model in evaluation mode, and the processor.

    Raises:
        NotAModelError: `source` is no original checkpoint that is known, or parts of it have to be named.
        ConversionError: it is incomplete or damaged.
    """
    model, options = _complete_options(os.fspath(source), model, options)
    options, _ = fetch_sources(model, options)
    if dtype is not None:
        options["dtype"] = str(dtype).removeprefix("torch.")
    root = Path(cache_dir or os.environ.get(CACHE_VARIABLE) or Path(constants.HF_HOME, "video_lmms"))
    folder = root / f"{model}-{_fingerprint(model, options)}"
    if not (folder / PROVENANCE).is_file():
        root.mkdir(parents=True, exist_ok=True)
        convert(model, as_words(options | {"output": folder}), store_answer=False)
    return load(folder, device=device, dtype=dtype)


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Options of a converter as its command line."""
    words = []
    for option, value in options.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if value is True:
            words.append(f"--{option.replace('_', '-')}")
        elif value is not None and value is not False:
            words += [f"--{option.replace('_', '-')}", *map(str, values)]
    return words


def _complete_options(source: str, model: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The converter and all its sources: those recognised, and over them those given.

    Raises:
        NotAModelError: nothing is recognised, or something is left to be named.
    """
    path = Path(source)
    config = stored_config(source) if path.is_dir() or not path.exists() else {}
    original = find_original(config, path)
    if original is None:
        raise NotAModelError(
            f"{source} is no original checkpoint that is known here. Converted folders are loaded by "
            "`video_lmms.hub.load`."
        )
    if model is not None and model != original.model:
        raise NotAModelError(f"{source} {original.what}; it is converted as {original.model}, not as {model}.")
    options = original.options | dict(given)
    left = [option for option in original.missing if option not in given]
    if left:
        raise NotAModelError(
            f"{source} {original.what}. Name the rest of it: {', '.join(f'{option}=...' for option in left)}."
        )
    return original.model, options


def _fingerprint(model: str, options: Mapping[str, Any]) -> str:
    """Changes with the converter, its options, and name, size or time of any file that it may read."""
    files = []
    for option in SOURCES[model]:
        path = options.get(option)
        if path is None:
            continue
        found = sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]
        states = [(str(file.resolve()), file.stat()) for file in found if file.is_file()]
        files.append([option, [(name, state.st_size, state.st_mtime_ns) for name, state in states]])
    values = {key: str(value) for key, value in options.items() if key not in SOURCES[model]}
    text = json.dumps([__version__, model, values, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
