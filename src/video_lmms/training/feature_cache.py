# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Features of frozen towers on disk, so that a second epoch runs no tower:

    with cached_towers(model, "features/", max_bytes=200 * 2**30):
        trainer.train()

A row that enters a tower (a frame, Apollo's clip, or the two frames that VideoTGB's optical flow lies between) is
known by the digest of its pixels, together with the fingerprint of the tower's weights: another video file with the
same frames is a hit, another crop or tower is none.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from video_lmms.training.fingerprints import fingerprint
from video_lmms.training.parts import TOWER, part_of


# What the models read of a tower, and the name under which a single tensor is kept.
_FIELDS = ("last_hidden_state", "pooler_output")
_ALONE = "output"
# As costly as a tower, and as frozen.
_FLOW_MODEL = "flow_model"


class FeatureCache:
    """Tensors by key, one file each; the files used least recently go when they exceed `max_bytes` together.

    Several processes may share a folder: files appear by renaming, and one that another process removed is a miss.

    Args:
        folder: created when missing.
        max_bytes: None keeps everything.
    """

    def __init__(self, folder: str | os.PathLike, max_bytes: int | None = None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.max_bytes = max_bytes
        self.used = sum(path.stat().st_size for path in self.folder.glob("*/*.safetensors"))

    def get(self, key: str) -> dict[str, torch.Tensor] | None:
        """What was put under `key`, or None; a damaged file is removed."""
        path = self._path(key)
        try:
            stored = load_file(path)
        except FileNotFoundError:
            return None
        except SafetensorError:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)
        return stored

    def put(self, key: str, tensors: dict[str, torch.Tensor]) -> None:
        """Keeps `tensors`; a crash leaves either all of them or nothing."""
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        stage = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        # Copies, for a tower may give one tensor under two names.
        save_file({name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}, stage)
        size = stage.stat().st_size
        os.replace(stage, path)
        self.used += size
        if self.max_bytes is not None and self.used > self.max_bytes:
            self._shrink()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _shrink(self) -> None:
        """Removes the oldest files until a tenth is free, so that it is not called for every new one."""
        known = []
        for path in self.folder.glob("*/*.safetensors"):
            try:
                known.append((path.stat().st_mtime_ns, path.stat().st_size, path))
            except FileNotFoundError:
                continue
        self.used = sum(size for _, size, _ in known)
        for _, size, path in sorted(known):
            if self.used <= 0.9 * self.max_bytes:
                return
            path.unlink(missing_ok=True)
            self.used -= size


@contextmanager
def cached_towers(
    model: PreTrainedModel, folder: str | os.PathLike, max_bytes: int | None = None
) -> Iterator[FeatureCache]:
    """Answers frozen towers' calls from disk where it can, inside the block.

    Args:
        model: with its head; adapters may be in it already. Towers with a trainable weight are left alone.
        folder: of the cache, shared by any number of models and runs.
        max_bytes: of all files together.
    """
    cache = FeatureCache(folder, max_bytes)
    with ExitStack() as patches:
        for name, tower in model.base_model.named_children():
            frozen = not any(parameter.requires_grad for parameter in tower.parameters())
            if frozen and (part_of(name) == TOWER or name == _FLOW_MODEL):
                patches.enter_context(_cached(tower, cache))
        yield cache


@contextmanager
def _cached(tower: nn.Module, cache: FeatureCache) -> Iterator[None]:
    compute, tower_key = tower.forward, fingerprint(tower)
    tower.forward = lambda *args, **kwargs: _answer(compute, cache, tower_key, args, kwargs)
    try:
        yield
    finally:
        del tower.forward  # the class's own shows again


def _answer(
    compute: Callable[..., BaseModelOutputWithPooling | torch.Tensor],
    cache: FeatureCache,
    tower_key: str,
    args: tuple,
    kwargs: dict[str, Any],
) -> BaseModelOutputWithPooling | torch.Tensor:
    """The tower's output, row by row from the cache, or computed for the rows that it lacks."""
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    keys = [_digest(tower_key, row) for row in zip(*tensors, strict=True)]
    stored = [cache.get(key) for key in keys]
    lacking = [number for number, found in enumerate(stored) if found is None]
    if lacking:
        chosen = torch.tensor(lacking, device=tensors[0].device)
        with torch.no_grad():
            fresh = compute(
                *(value[chosen] if isinstance(value, torch.Tensor) else value for value in args),
                **{
                    name: value[chosen] if isinstance(value, torch.Tensor) else value for name, value in kwargs.items()
                },
            )
        if isinstance(fresh, torch.Tensor):
            fresh = {_ALONE: fresh}
        for place, number in enumerate(lacking):
            stored[number] = {name: fresh[name][place] for name in (*_FIELDS, _ALONE) if name in fresh}
            cache.put(keys[number], stored[number])
    device = tensors[0].device
    joined = {name: torch.stack([row[name].to(device) for row in stored]) for name in stored[0]}
    return joined[_ALONE] if _ALONE in joined else BaseModelOutputWithPooling(**joined)


def _digest(tower_key: str, row: tuple[torch.Tensor, ...]) -> str:
    digest = hashlib.sha256(tower_key.encode())
    for tensor in row:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


__all__ = ["FeatureCache", "cached_towers"]
