# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Writing safetensors files tensor by tensor: a shard of gigabytes needs the memory of its largest tensors."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import torch


# safetensors' names of the dtypes that converters write.
DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
MANIFEST = "provenance.json"
RESUME_FILE = "conversion.json"
# The list of digests itself, what a run leaves while it is under way, and what people edit on the Hub.
UNLISTED = (MANIFEST, RESUME_FILE, "README.md", ".gitattributes")
_BLOCK = 2**20


class LazyTensors(Mapping):
    """Named tensors of one dtype that are made when they are asked for, and not kept.

    Args:
        shapes: of every tensor, by name.
        dtype: of all of them.
        make: from a name to its tensor.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], dtype: torch.dtype, make: Callable[[str], torch.Tensor]):
        self.shapes = shapes
        self.dtype = dtype
        self.make = make

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def save_file(tensors: LazyTensors, file: Path, metadata: Mapping[str, str]) -> str:
    """Writes a safetensors file, holding two tensors at a time: one is made while the last is written and hashed.

    Args:
        tensors: in the order in which they are written.
        file: to write.
        metadata: of the header.

    Returns:
        The file's SHA-256, as [`sha256`] would read it.

    Raises:
        ValueError: a tensor has not the shape or dtype that the header promises.
    """
    header = header_bytes(tensors, metadata)
    digest = hashlib.sha256(header)
    with file.open("wb") as stream, ThreadPoolExecutor(max_workers=1) as hasher:
        stream.write(header)
        for name, tensor in made_ahead(tensors):
            if tensor.dtype != tensors.dtype or tuple(tensor.shape) != tuple(tensors.shapes[name]):
                raise ValueError(
                    f"{name} is {tensor.dtype} {tuple(tensor.shape)}, announced as {tensors.dtype} "
                    f"{tuple(tensors.shapes[name])}"
                )
            data = memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
            hashed = hasher.submit(digest.update, data)
            # In pieces, as files are copied: on a virtual machine, single large writes took a third longer.
            for start in range(0, len(data), _BLOCK):
                stream.write(data[start : start + _BLOCK])
            hashed.result()
    return digest.hexdigest()


def header_bytes(tensors: LazyTensors, metadata: Mapping[str, str]) -> bytes:
    """What a safetensors file begins with: where each tensor lies behind it."""
    header: dict = {"__metadata__": dict(metadata)}
    end = 0
    for name, shape in tensors.shapes.items():
        start, end = end, end + torch.Size(shape).numel() * tensors.dtype.itemsize
        header[name] = {"dtype": DTYPE_NAMES[tensors.dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data has to start aligned
    return len(text).to_bytes(8, "little") + text


def made_ahead(tensors: LazyTensors) -> Iterator[tuple[str, torch.Tensor]]:
    """Every name with its tensor; while one is in use, a thread makes the next."""
    names = list(tensors)
    with ThreadPoolExecutor(max_workers=1) as maker:
        coming = maker.submit(tensors.make, names[0])
        for name, following in zip_longest(names, names[1:]):
            tensor = coming.result()
            if following is not None:
                coming = maker.submit(tensors.make, following)
            yield name, tensor


def sha256(file: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def file_digests(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, dict]:
    """Size and SHA-256 of every file of a folder, by its path from there; [`UNLISTED`] ones excepted.

    Args:
        folder: to list.
        known: digests of files that need not be read again.
    """
    found = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.name not in UNLISTED):
        name = file.relative_to(folder).as_posix()
        found[name] = {"size": file.stat().st_size, "sha256": (known or {}).get(name) or sha256(file)}
    return found


def write_json(file: Path, content: dict) -> None:
    """Writes a JSON file in one step: a reader finds the old content or the new."""
    part = file.with_name(f".{file.name}.part")
    part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, file)
