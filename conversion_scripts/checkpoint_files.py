# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Reading original checkpoints: names, shapes and dtypes first, tensors one at a time, and no foreign code ever.

Safetensors and PyTorch files (`.bin`, `.pth`, `.pt`, `.ckpt`) alike become tables of [`SourceTensor`].
"""

import builtins
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from video_lmms.errors import VideoLmmError


FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
SHORT_NAMES = {dtype: name for name, dtype in FLOATS.items()}
PICKLES = (".bin", ".pth", ".pt", ".ckpt")
# Trainers keep the weights under one of these keys, beside optimiser, epoch and settings.
WEIGHT_KEYS = ("state_dict", "model")
# What reading a damaged pickle may raise, besides the unpickler's own error.
DAMAGE = (RuntimeError, OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, struct.error)
# No settings object lives in these modules; whoever asks for one of them wants to run something.
SUSPICIOUS = {
    *("asyncio", "code", "ctypes", "importlib", "marshal", "multiprocessing", "nt", "os", "pickle", "posix", "pty"),
    *("requests", "runpy", "shutil", "signal", "socket", "subprocess", "sys", "urllib", "webbrowser"),
    *("commands", "httplib", "popen2", "urllib2"),  # Python 2's names for some of them, which old protocols use
}
# Pages read through a mapping count as this process's memory until the mapping is closed.
MAPPED_BYTES = 256 * 2**20


class ConversionError(VideoLmmError):
    """A checkpoint that cannot be converted without guessing; nothing is written."""


@dataclass(frozen=True)
class SourceTensor:
    """A tensor on disk.

    Attributes:
        name: in the file.
        file: that holds it.
        shape: of the stored tensor.
        dtype: safetensors' short name ("BF16", ...).
    """

    name: str
    file: Path
    shape: tuple[int, ...]
    dtype: str

    def load(self) -> torch.Tensor:
        """Reads the tensor.

        Raises:
            ConversionError: it holds NaN or infinity.
        """
        if self.file.suffix in PICKLES:
            tensor = _mapped.take(self.file, self.name)
        else:
            with safe_open(self.file, framework="pt") as file:
                tensor = file.get_tensor(self.name)
        # The extremes alone: NaN spreads to both. A mask of the whole tensor would cost fifty times as much.
        if tensor.is_floating_point() and tensor.numel() and not torch.stack(torch.aminmax(tensor)).isfinite().all():
            raise ConversionError(f"{self.name} in {self.file.name} holds NaN or infinity: the file is damaged.")
        return tensor


# Safetensors first: published folders that hold both hold the same weights twice.
LAYOUTS = (
    ("model.safetensors.index.json", "model-0*.safetensors", "model.safetensors"),
    ("pytorch_model.bin.index.json", "pytorch_model-0*.bin", "pytorch_model.bin"),
)


def read_folder(folder: Path) -> dict[str, SourceTensor]:
    """All tensors of a checkpoint folder, by name; reads headers only.

    The shards named in `model.safetensors.index.json` if there is one, else `model-0*.safetensors`, else
    `model.safetensors`; without any of these the same for `pytorch_model` and `.bin`.

    Raises:
        ConversionError: no weights, a missing, damaged or stray file, or an index that disagrees with its shards.
    """
    index, shards, single = LAYOUTS[0]
    for layout in LAYOUTS:
        if any(any(folder.glob(pattern)) for pattern in layout):
            index, shards, single = layout
            break
    index_file = folder / index
    listed: dict[str, str] = {}
    if index_file.is_file():
        listed = read_json(index_file)["weight_map"]
        files = [folder / name for name in sorted(set(listed.values()))]
    else:
        files = sorted(folder.glob(shards)) or [folder / single]
    tensors: dict[str, SourceTensor] = {}
    for file in files:
        for tensor in read_header(file):
            if tensor.name in tensors:
                raise ConversionError(f"{tensor.name} is in {tensors[tensor.name].file.name} and in {file.name}.")
            tensors[tensor.name] = tensor
    if listed:
        check_index(listed, tensors, index_file)
    return tensors


def read_header(file: Path) -> list[SourceTensor]:
    """Names, shapes and dtypes of one file: safetensors, or PyTorch's `.bin`, `.pth`, `.pt`, `.ckpt`.

    Raises:
        ConversionError: the file is missing, truncated, or of another kind.
    """
    if not file.is_file():
        raise ConversionError(f"{file} does not exist. Download the checkpoint again, all of its files.")
    if file.suffix in PICKLES:
        return [
            SourceTensor(name, file, tuple(tensor.shape), SHORT_NAMES.get(tensor.dtype, str(tensor.dtype)))
            for name, tensor in open_pickle(file).items()
        ]
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (not a mapping)
            return [
                SourceTensor(name, file, tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()
            ]
    except (SafetensorError, OSError) as error:
        raise ConversionError(f"{file} is damaged or no safetensors file ({error}). Download it again.") from error


def open_pickle(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a PyTorch file, mapped from disk and not read; nothing in it is executed.

    A trainer's file may hold its weights under `state_dict` or `model`. Settings objects beside them are of classes
    that are not installed here; inert stand-ins take their place.

    Raises:
        ConversionError: the file is truncated, asks for something to be run, or holds no table of named tensors.
    """
    # Files of before PyTorch 1.6 are no archives; they cannot be mapped, and their stand-ins not be listed.
    archive = zipfile.is_zipfile(file)
    try:
        stand_ins = [(_stand_in(name), name) for name in get_unsafe_globals_in_checkpoint(file)] if archive else []
        with safe_globals(stand_ins):
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(f"{file} holds more than tensors, and is refused ({reason}).") from error
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConversionError(f"{file} is damaged or no PyTorch file ({reason}). Download it again.") from error
    table = content
    for key in WEIGHT_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            table = content[key]
            break
    if not isinstance(table, dict) or not table or not all(isinstance(part, torch.Tensor) for part in table.values()):
        raise ConversionError(f"{file} holds no table of named tensors.")
    return table


def _stand_in(name: str) -> type:
    """A class that takes any arguments and any state and does nothing, in place of one that is not known here.

    Raises:
        UnpicklingError: no class of settings, but a means to run something.
    """
    module, _, attribute = name.rpartition(".")
    executes = module.split(".")[0] in SUSPICIOUS
    if module in ("builtins", "__builtin__"):
        executes = not isinstance(getattr(builtins, attribute, None), type)
    if executes:
        raise pickle.UnpicklingError(f"it asks for {name}, which no checkpoint needs")

    def make(cls: type, *args: object, **kwargs: object) -> object:
        return object.__new__(cls)

    def ignore(self: object, *args: object, **kwargs: object) -> None:
        return None

    return type("StandIn", (), {"__new__": make, "__init__": ignore, "__setstate__": ignore, "stands_for": name})


class _MappedPickles:
    """PyTorch files opened last. Each is opened anew after some bytes, so that what was read can be forgotten."""

    def __init__(self, limit: int = 3):
        self.limit = limit
        self.opened: dict[tuple, tuple[dict[str, torch.Tensor], int]] = {}

    def take(self, file: Path, name: str) -> torch.Tensor:
        """A copy of one tensor."""
        status = file.stat()
        key = (file, status.st_size, status.st_mtime_ns)
        table, served = self.opened.pop(key, (None, 0))
        if table is None or served > MAPPED_BYTES:
            table, served = open_pickle(file), 0
        tensor = table[name].detach().clone()
        while len(self.opened) >= self.limit:
            self.opened.pop(next(iter(self.opened)))
        self.opened[key] = (table, served + tensor.nbytes)
        return tensor

    def close(self) -> None:
        """Forgets all files."""
        self.opened.clear()


_mapped = _MappedPickles()


def close_files() -> None:
    """Closes what [`SourceTensor.load`] keeps open."""
    _mapped.close()


def check_index(listed: Mapping[str, str], tensors: Mapping[str, SourceTensor], index_file: Path) -> None:
    """The index and its shards must name the same tensors in the same files.

    Raises:
        ConversionError: naming the first difference.
    """
    for name in sorted(listed.keys() | tensors.keys()):
        where = tensors[name].file.name if name in tensors else None
        if listed.get(name) != where:
            raise ConversionError(
                f"{name}: {index_file.name} places it in {listed.get(name)}, but it is in {where}. The shards belong "
                "to another checkpoint, or a file is incomplete."
            )


def check_dtypes(tensors: Iterable[SourceTensor], group: Callable[[str], str]) -> None:
    """Floating tensors only, and one dtype per group of tensors that were saved together.

    Raises:
        ConversionError: naming the tensor that differs from most of its group.
    """
    groups: dict[str, dict[str, list[SourceTensor]]] = {}
    for tensor in tensors:
        if tensor.dtype not in FLOATS:
            raise ConversionError(
                f"{tensor.name} in {tensor.file.name} is stored as {tensor.dtype}, not as one of {', '.join(FLOATS)}."
            )
        groups.setdefault(group(tensor.name), {}).setdefault(tensor.dtype, []).append(tensor)
    for name, by_dtype in groups.items():
        if len(by_dtype) > 1:
            odd = min(by_dtype.values(), key=len)[0]
            usual = max(by_dtype, key=lambda dtype: len(by_dtype[dtype]))
            raise ConversionError(
                f"{odd.name} in {odd.file.name} is stored as {odd.dtype}, but the other tensors of {name} as {usual}: "
                "the file was altered or belongs to another checkpoint."
            )


def read_json(file: Path) -> dict:
    """Raises ConversionError, naming the file, where it is missing or no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConversionError(f"{file} does not exist.") from error
    except ValueError as error:
        raise ConversionError(f"{file} is not valid JSON: {error}.") from error
