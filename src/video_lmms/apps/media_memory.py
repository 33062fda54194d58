# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What models made of media, kept for the next question: by content, and only so many bytes of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch


DEFAULT_MEMORY_BYTES = 1 << 30


@dataclass
class Remembered:
    """One medium.

    Attributes:
        features: (tokens, dim), or what the model's `get_video_cache` answers; it may grow while it is used.
        metadata: of a video, with the frames that were looked at.
        sampled_frames: of a video, before the model dropped any; None where it drops none.
    """

    features: Any
    metadata: Any = None
    sampled_frames: int | None = None


class MediaMemory:
    """[`Remembered`] media by key; the ones used longest ago go when all together exceed `max_bytes`.

    One thread may change it; others may read its numbers.

    Attributes:
        hits: number of media that were found.
        misses: number of media that were not.
    """

    def __init__(self, max_bytes: int = DEFAULT_MEMORY_BYTES):
        self.max_bytes, self.hits, self.misses = max_bytes, 0, 0
        self._entries: OrderedDict[Any, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used(self) -> int:
        """Bytes of all tensors."""
        return sum(map(size_of, list(self._entries.values())))

    def find(self, key: Any, usable: Callable[[Remembered], bool] = lambda entry: True) -> Remembered | None:
        """What is known under `key`, if it is `usable`."""
        entry = self._entries.get(key)
        if entry is None or not usable(entry):
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry

    def keep(self, key: Any, entry: Remembered) -> None:
        """Remembers `entry`, unless it alone is too large."""
        self._entries[key] = entry
        self._entries.move_to_end(key)
        self.shrink()

    def shrink(self) -> None:
        """Forgets until the rest fits; to be called after entries were used, because they grow."""
        sizes = {key: size_of(entry) for key, entry in self._entries.items()}
        used = sum(sizes.values())
        for key, size in sizes.items():
            if used <= self.max_bytes:
                return
            del self._entries[key]
            used -= size

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()


def size_of(value: Any) -> int:
    """Bytes of the distinct tensors in a tree of dataclasses, dicts and sequences."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in _tensors(value)}
    return sum(storages.values())


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _tensors(entry)
    elif is_dataclass(value):
        for part in fields(value):
            yield from _tensors(getattr(value, part.name))


__all__ = ["DEFAULT_MEMORY_BYTES", "MediaMemory", "Remembered", "size_of"]
