# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Where the time of an answer goes: decoding, preprocessing, towers, language model."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, ProcessorMixin


DECODE, PREPROCESS, TOWER, LANGUAGE_MODEL = PHASES = ("decode", "preprocess", "tower", "language_model")
# Methods of a model that run its towers and what connects them with the language model.
_ENCODERS = ("get_video_features", "get_image_features", "get_audio_features", "get_video_cache", "select_frames")


@contextmanager
def patched(thing: Any, **methods: Callable) -> Iterator[None]:
    """Gives one object other methods for a while; those of its class, or of an outer call, come back."""
    before = {name: vars(thing)[name] for name in methods if name in vars(thing)}
    vars(thing).update(methods)
    try:
        yield
    finally:
        for name in methods:
            del vars(thing)[name]
        vars(thing).update(before)


class Profile:
    """Wall-clock time by phase: every moment belongs to the innermost phase that is on, and to it alone.

    Decoding runs ahead of what uses its frames. Its share is what is waited for it, with conversion to RGB, opening
    and download; work that hides behind preprocessing or a tower costs nothing and counts nothing.

    Attributes:
        seconds: time of each of [`PHASES`].
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._phases: list[str] = []
        self._since = 0.0
        self._wait: Callable[[], None] = lambda: None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What runs inside belongs to one of [`PHASES`]."""
        self._switch()
        self._phases.append(name)
        try:
            yield
        finally:
            self._switch()
            self._phases.pop()

    @contextmanager
    def watching(self, model: PreTrainedModel, processor: ProcessorMixin) -> Iterator[None]:
        """Inside, parts of a model and of its processor that belong to another phase than their caller say so."""
        if model.device.type != "cpu":
            self._wait = functools.partial(torch.accelerator.synchronize, model.device)
        videos, base = processor.video_processor, model.base_model
        encoders = {name: self._timed(TOWER, getattr(base, name)) for name in _ENCODERS if hasattr(base, name)}
        with ExitStack() as stack:
            stack.enter_context(patched(base, **encoders))
            stack.enter_context(
                patched(
                    videos,
                    read_videos=self._timed(DECODE, videos.read_videos),
                    frame_transforms=self._timed_transforms(videos.frame_transforms),
                )
            )
            yield

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Seconds and share (from 0 to 1) of each phase."""
        total = sum(self.seconds.values())
        return {
            name: {"seconds": round(seconds, 4), "share": round(seconds / total, 4) if total else 0.0}
            for name, seconds in self.seconds.items()
        }

    def line(self) -> str:
        """For a reader."""
        parts = [
            f"{name.replace('_', ' ')} {part['seconds']:.3f} s ({100 * part['share']:.0f} %)"
            for name, part in self.as_dict().items()
        ]
        return f"profile: {', '.join(parts)}; loading the model is not counted"

    def _switch(self) -> None:
        """Gives the time since the last switch to the phase that is on."""
        if self._phases:
            self._wait()
        now = time.perf_counter()
        if self._phases:
            self.seconds[self._phases[-1]] += now - self._since
        self._since = now

    def _timed(self, name: str, method: Callable) -> Callable:
        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if args and isinstance(args[0], Iterator):  # frames that are decoded while the tower looks at them
                args = (self._timed_items(args[0]), *args[1:])
            with self.phase(name):
                return method(*args, **kwargs)

        return timed

    def _timed_items(self, items: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while True:
            with self.phase(DECODE):
                item = next(items, end)
            if item is end:
                return
            yield item

    def _timed_transforms(self, plan: Callable) -> Callable:
        @functools.wraps(plan)
        def timed(*args: Any, **kwargs: Any) -> list[Callable]:
            return [self._timed(PREPROCESS, transform) for transform in plan(*args, **kwargs)]

        return timed
