# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The models that visitors of the demo may choose from, and the ones that are loaded."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import NotAModelError, VideoLmmError
from ..hub.sources import DEFAULT_MODEL, has_weights, resolve, shipped_models
from .engine import Engine


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class ModelShelf:
    """Models by the name a page shows for them. A folder shows its last part, never the path to it.

    Args:
        models: folders, Hub ids and shipped names, offered before the tiny models that ship with their weights.
        load: makes an engine of a folder or Hub id.
        hub_ids: whether visitors may name any other Hub id, which is then downloaded.
        keep: engines that stay loaded; the one used longest ago goes first.

    Raises:
        NotAModelError: one of `models` is neither a folder, nor a shipped name, nor a possible Hub id.
    """

    def __init__(
        self, models: Sequence[str], load: Callable[[str], Engine] = Engine, *, hub_ids: bool = False, keep: int = 1
    ):
        self.load, self.hub_ids, self.keep = load, hub_ids, keep
        self._sources = {self._label(model): resolve(model) for model in models}
        tiny = {name: str(path) for name, path in shipped_models().items() if has_weights(path)}
        names = sorted(tiny, key=lambda name: (name != DEFAULT_MODEL, name))
        self._sources |= {name: tiny[name] for name in names if name not in self._sources}
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """What a visitor can pick, the first one by default."""
        return list(self._sources)

    def source(self, name: str) -> str:
        """The folder or Hub id that a visitor means.

        Raises:
            VideoLmmError: nothing of that name is offered here.
        """
        if name in self._sources:
            return self._sources[name]
        # A folder of this form below the working directory is no visitor's business.
        if self.hub_ids and _HUB_ID.fullmatch(name) and ".." not in name and not Path(name).exists():
            return name
        others = " Or give the id of a model on the Hub, ORG/NAME." if self.hub_ids else ""
        raise VideoLmmError(f"There is no model of that name here. Choose one of {', '.join(self.names)}.{others}")

    def engine(self, name: str) -> Engine:
        """The loaded model, loaded now if it has to be; others wait meanwhile.

        Raises:
            VideoLmmError: nothing of that name is offered here, or it cannot be loaded.
        """
        source = self.source(name)
        with self._lock:
            if source not in self._engines:
                self._make_room()
                try:
                    self._engines[source] = self.load(source)
                except VideoLmmError as exc:
                    raise NotAModelError(str(exc).replace(source, name)) from exc
            self._engines.move_to_end(source)
            return self._engines[source]

    def close(self) -> None:
        """Ends all answers and forgets all models."""
        with self._lock:
            while self._engines:
                self._engines.popitem()[1].close()

    def _make_room(self) -> None:
        while len(self._engines) >= self.keep:
            _, engine = self._engines.popitem(last=False)
            engine.close(cancel=False)

    def _label(self, model: str) -> str:
        return Path(model).resolve().name if Path(model).is_dir() else model
