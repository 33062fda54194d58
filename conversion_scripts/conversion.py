# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What every converter shares: plan every tensor, check the plan whole, write it shard by shard.

A converter is a table of recipes, one per tensor of the new model. Everything is checked against names, shapes and
dtypes before a byte is written; tensors are then built one after the other, so memory holds little more than the
largest two. Output appears under its final name in one step. A run that was killed goes on where it stopped, and a run
that is asked for what is there already changes nothing.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from video_lmms import __version__
from video_lmms.conversion_scripts.checkpoint_files import (
    FLOATS,
    LAYOUTS,
    SHORT_NAMES,
    ConversionError,
    SourceTensor,
    check_dtypes,
    check_index,
    close_files,
    open_pickle,
    read_folder,
    read_header,
    read_json,
)
from video_lmms.conversion_scripts.weight_files import (
    MANIFEST,
    RESUME_FILE,
    LazyTensors,
    file_digests,
    save_file,
    sha256,
    write_json,
)
from video_lmms.errors import VideoLmmError, shorten


# Converters find everything here.
__all__ = [
    "DTYPES",
    "FLOATS",
    "LAYOUTS",
    "SHORT_NAMES",
    "ConversionError",
    "Plan",
    "Recipe",
    "SourceTensor",
    "any_layer",
    "check_complete",
    "check_dtypes",
    "check_index",
    "keep",
    "merge_lora",
    "open_pickle",
    "parse_size",
    "read_folder",
    "read_header",
    "read_json",
    "run_command",
    "sha256",
    "tell_counts",
    "write_json",
    "write_model",
    "write_output",
    "write_weights",
]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def keep(tensor: torch.Tensor) -> torch.Tensor:
    """The builder of a plain copy."""
    return tensor


def merge_lora(alpha: float) -> Callable[..., torch.Tensor]:
    """The builder of a merged weight: W + alpha / rank * B A, in float32."""

    def build(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        change = b.float() @ a.float()
        return change.mul_(alpha / a.shape[0]).add_(weight)  # in place: new memory costs more than the arithmetic

    return build


def any_layer(module: str) -> str:
    """A module's name with its layer number left open."""
    return re.sub(r"\.\d+\.", ".*.", module)


@dataclass(frozen=True)
class Recipe:
    """How one tensor of the new model is made.

    Attributes:
        sources: what it is made of.
        build: from the loaded sources to the tensor.
        new_shape: of the result, where it is not the first source's.
    """

    sources: tuple[SourceTensor, ...]
    build: Callable[..., torch.Tensor] = keep
    new_shape: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return self.new_shape or self.sources[0].shape

    def make(self, dtype: torch.dtype) -> torch.Tensor:
        """Builds the tensor; arithmetic happens before the cast."""
        return self.build(*(source.load() for source in self.sources)).to(dtype).contiguous()


def check_complete(recipes: Mapping[str, Recipe], expected: Mapping[str, Sequence[int]]) -> None:
    """Recipes must give exactly the tensors of the model, in their shapes.

    Args:
        recipes: target name -> recipe.
        expected: target name -> shape, from the model built on the meta device.

    Raises:
        ConversionError: naming missing, unknown or misshapen tensors.
    """
    missing = sorted(expected.keys() - recipes.keys())
    unknown = sorted(recipes.keys() - expected.keys())
    if missing:
        raise ConversionError(
            f"The checkpoint lacks {len(missing)} tensors of the model: {shorten(missing)}. Is this the whole "
            "checkpoint, and does its config.json belong to it?"
        )
    if unknown:
        names = [source.name for name in unknown for source in recipes[name].sources]
        raise ConversionError(f"The model has no place for {len(unknown)} tensors: {shorten(names)}.")
    for name, recipe in recipes.items():
        if tuple(recipe.shape) != tuple(expected[name]):
            source = recipe.sources[0]
            raise ConversionError(
                f"{source.name} in {source.file.name} has shape {tuple(recipe.shape)}, but config.json asks for "
                f"{tuple(expected[name])}."
            )


def parse_size(text: str) -> int:
    """Bytes of a size such as "5GB".

    Raises:
        ConversionError: not a number with a known unit.
    """
    number, unit = text[:-2], text[-2:].upper()
    if unit not in UNITS or not number.isdigit() or int(number) == 0:
        raise ConversionError(f"--max-shard-size must look like 5GB or 500MB, got {text!r}.")
    return int(number) * UNITS[unit]


@dataclass
class Plan:
    """Everything a conversion will write.

    Attributes:
        recipes: target name -> recipe, complete and checked.
        dtype: of the written weights.
        max_shard_bytes: size of an output file, exceeded only by a single larger tensor.
        source_files: everything that was read.
        options: of the converter, which decide the bytes beside the sources.
    """

    recipes: dict[str, Recipe]
    dtype: torch.dtype
    max_shard_bytes: int
    source_files: list[Path]
    options: dict = field(default_factory=dict)

    @cached_property
    def shards(self) -> list[list[str]]:
        """Target names per output file; tensors of one source file stay together so that reading is shard-wise.

        Where the sources lie changes nothing: the same files give the same bytes anywhere.
        """
        order = sorted(self.recipes, key=lambda name: (self.recipes[name].sources[0].file.name, name))
        shards, size = [[]], 0
        for name in order:
            tensor_bytes = torch.Size(self.recipes[name].shape).numel() * self.dtype.itemsize
            if shards[-1] and size + tensor_bytes > self.max_shard_bytes:
                shards.append([])
                size = 0
            shards[-1].append(name)
            size += tensor_bytes
        return shards

    @cached_property
    def digest(self) -> str:
        """Changes whenever an output byte could: options, dtype, shard plan, source files (size and time)."""
        files = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in self.source_files]
        text = json.dumps([__version__, self.options, str(self.dtype), self.shards, files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def shard_name(self, number: int) -> str:
        if len(self.shards) == 1:
            return "model.safetensors"
        return f"model-{number + 1:05d}-of-{len(self.shards):05d}.safetensors"


class Saved(Protocol):
    """A part of a model that writes its own files."""

    def save_pretrained(self, folder: Path) -> Any: ...


class State:
    """What an interrupted run has done, in a file beside its output: digests of finished shards and read sources."""

    def __init__(self, file: Path, digest: str):
        self.file = file
        self.content = {"digest": digest, "shards": {}, "sources": {}}

    def resume(self) -> bool:
        """Takes over what an earlier run of the same conversion noted; False where there was none."""
        if not self.file.is_file():
            return False
        found = read_json(self.file)
        if found.get("digest") == self.content["digest"]:
            self.content = found
            return True
        return False

    def note(self, table: str, name: str, digest: str) -> None:
        """Writes down one finished shard or source."""
        self.content[table][name] = digest
        write_json(self.file, self.content)


def write_weights(plan: Plan, folder: Path, state: State) -> None:
    """Writes the shards and their index into `folder`, skipping shards that an interrupted run completed."""
    weight_map = {}
    for number, names in enumerate(progress(plan.shards, "Writing shards")):
        file = folder / plan.shard_name(number)
        weight_map.update(dict.fromkeys(names, file.name))
        if file.is_file() and file.name in state.content["shards"]:
            continue
        part = file.with_suffix(".part")
        shapes = {name: tuple(plan.recipes[name].shape) for name in names}
        tensors = LazyTensors(shapes, plan.dtype, lambda name: plan.recipes[name].make(plan.dtype))
        digest = save_file(tensors, part, metadata={"format": "pt"})
        # Noted first: whenever the run is killed, a shard that has its final name is known as finished.
        state.note("shards", file.name, digest)
        os.replace(part, file)
    close_files()
    if len(plan.shards) > 1:
        total = sum(torch.Size(recipe.shape).numel() for recipe in plan.recipes.values()) * plan.dtype.itemsize
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        write_json(folder / "model.safetensors.index.json", index)


def write_model(
    plan: Plan,
    output: Path,
    parts: Sequence[Saved],
    converter: tuple[str, int],
    facts: Mapping[str, Any],
    more: Callable[[Path], None] | None = None,
) -> None:
    """Writes a folder with weights, what goes with them, and where all of it came from; see [`write_output`].

    Args:
        plan: the weights.
        output: folder to create.
        parts: configuration, generation configuration, processor.
        converter: name of the script, and its version.
        facts: for `provenance.json`, beside what the plan tells.
        more: writes further files into the folder it is given.

    Raises:
        ConversionError: `output` exists already and holds something else.
    """

    def write_rest(folder: Path) -> None:
        for part in parts:
            part.save_pretrained(folder)
        if more is not None:
            more(folder)
        name, version = converter
        provenance = {"converter": {"name": name, "version": version}, "options": plan.options}
        write_json(folder / MANIFEST, provenance | {"target_tensors": len(plan.recipes), **facts})

    write_output(plan, output, write_rest)


def write_output(plan: Plan, output: Path, write_rest: Callable[[Path], None]) -> None:
    """Writes weights, then everything else, and gives the folder its name in one step.

    `provenance.json`, as far as `write_rest` wrote it, is completed: digests of the sources and of every file, and
    what tells this conversion from others.

    Args:
        plan: the weights.
        output: folder to create. One that holds this very conversion already is left as it is.
        write_rest: writes configuration, processor and documents into the folder it is given.

    Raises:
        ConversionError: `output` exists already and holds something else.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if holds_conversion(plan, output, write_rest):
            sys.stderr.write(f"{output} holds this conversion already: nothing is written.\n")
            return
        raise ConversionError(f"{output} exists and is not empty. Choose another --output, or remove it.")
    partial = output.with_name(f".{output.name}.partial")
    state = State(partial / RESUME_FILE, plan.digest)
    if partial.exists() and not (state.resume() or holds_conversion(plan, partial, write_rest)):
        shutil.rmtree(partial)
    try:
        if not holds_conversion(plan, partial, write_rest):
            partial.mkdir(parents=True, exist_ok=True)
            write_json(state.file, state.content)
            write_weights(plan, partial, state)
            write_rest(partial)
            write_manifest(plan, partial, state)
            state.file.unlink()
        if output.exists():
            output.rmdir()
        os.replace(partial, output)
    except Exception:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_manifest(plan: Plan, folder: Path, state: State) -> None:
    """Completes `provenance.json` of a folder whose other files are all written."""
    unread = {
        name: file for name, file in source_names(plan.source_files).items() if name not in state.content["sources"]
    }
    with ThreadPoolExecutor(max_workers=2) as readers:
        for name, digest in zip(unread, readers.map(sha256, unread.values()), strict=True):
            state.note("sources", name, digest)
    files = file_digests(folder, state.content["shards"])
    manifest = folder / MANIFEST
    content = read_json(manifest) if manifest.is_file() else {}
    content |= {"sources": state.content["sources"], "conversion": plan.digest, "files": files}
    write_json(manifest, content)


def source_names(files: Sequence[Path]) -> dict[str, Path]:
    """Short names of files: with their folder, and with one more where that tells nothing apart."""
    short = Counter("/".join(file.parts[-2:]) for file in files)
    return {"/".join(file.parts[-2 if short["/".join(file.parts[-2:])] == 1 else -3 :]): file for file in files}


def holds_conversion(plan: Plan, folder: Path, write_rest: Callable[[Path], None]) -> bool:
    """Whether a folder is what this conversion makes, complete. Weights are judged by size and digest of the plan."""
    manifest = folder / MANIFEST
    if not manifest.is_file() or (folder / RESUME_FILE).exists():
        return False
    stored = read_json(manifest)
    files = stored.get("files", {})
    if stored.get("conversion") != plan.digest or not {plan.shard_name(i) for i in range(len(plan.shards))} <= set(
        files
    ):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        write_rest(Path(scratch))
        fresh = {file.relative_to(scratch).as_posix(): file for file in Path(scratch).rglob("*") if file.is_file()}
        fresh.pop(MANIFEST, None)
        if any(sha256(file) != files.get(name, {}).get("sha256") for name, file in fresh.items()):
            return False
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == file["size"] for name, file in files.items()
    )


def tell_counts(read: int, plan: Plan, unused: Sequence[str]) -> None:
    """Says on stderr what became of the original's tensors."""
    named = f": {shorten(unused)}" if unused else ""
    sys.stderr.write(f"{read} tensors read, {len(plan.recipes)} written; {len(unused)} deliberately unused{named}.\n")


def run_command(convert: Callable[..., Path], arguments: argparse.Namespace) -> int:
    """Converts as the command line says; 0 on success, 2 with one line on stderr where the source is refused."""
    try:
        convert(**vars(arguments))
    except VideoLmmError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def progress(items: Sequence, title: str) -> Iterator:
    """Iterates with a bar on a terminal, and with a line per tenth elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(items, desc=title)
        return
    reported = 0
    for number, item in enumerate(items, 1):
        yield item
        if number * 10 // len(items) > reported:
            reported = number * 10 // len(items)
            sys.stderr.write(f"{title}: {number}/{len(items)}\n")
