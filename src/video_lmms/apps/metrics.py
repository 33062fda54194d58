# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a server in Prometheus' text format."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from .engine import Answer, Engine


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "video_lmms_"
# name -> (kind, what it is)
_FAMILIES = {
    "requests_total": ("counter", "Requests for answers, by model and HTTP status."),
    "request_seconds_total": ("counter", "Time from a request to its last byte."),
    "prompt_tokens_total": ("counter", "Tokens of prompts, media included."),
    "new_tokens_total": ("counter", "Tokens generated."),
    "phase_seconds_total": ("counter", "Time spent on answers, by phase."),
    "answers_total": ("counter", "Answers, by what ended them."),
    "media_remembered_total": ("counter", "Media that were not encoded again."),
    "media_encoded_total": ("counter", "Media that were decoded and encoded."),
    "memory_bytes": ("gauge", "Features of media that are remembered."),
    "memory_media": ("gauge", "Media that are remembered."),
    "answers_waiting": ("gauge", "Answers that are being made or wait."),
}


class Metrics:
    """Counters, for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, name: str, amount: float, **labels: str) -> None:
        """Adds to a counter."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount

    def add_request(self, model: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self.add("requests_total", 1, model=model, status=str(status))
        self.add("request_seconds_total", seconds, model=model)

    def add_answer(self, model: str, answer: Answer) -> None:
        """Counts what an answer took."""
        self.add("answers_total", 1, model=model, reason=answer.finish_reason)
        self.add("prompt_tokens_total", answer.prompt_tokens, model=model)
        self.add("new_tokens_total", answer.new_tokens, model=model)
        for phase, seconds in answer.seconds.items():
            self.add("phase_seconds_total", seconds, model=model, phase=phase)

    def render(self, engines: Mapping[str, Engine]) -> str:
        """All numbers, with those that engines hold themselves."""
        with self._lock:
            counts = dict(self._counts)
        for model, engine in engines.items():
            label = (("model", model),)
            counts["media_remembered_total", label] = engine.memory.hits
            counts["media_encoded_total", label] = engine.memory.misses
            counts["memory_bytes", label] = engine.memory.used
            counts["memory_media", label] = len(engine.memory)
            counts["answers_waiting", label] = engine.waiting
        lines = []
        for name, (kind, text) in _FAMILIES.items():
            lines += [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]
            rows = sorted((labels, value) for (family, labels), value in counts.items() if family == name)
            lines += [f"{PREFIX}{name}{{{render_labels(labels)}}} {value:.10g}" for labels, value in rows]
        return "\n".join(lines) + "\n"


def render_labels(labels: tuple[tuple[str, str], ...]) -> str:
    """Labels between braces, their values escaped."""
    pairs = []
    for name, value in labels:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        pairs.append(f'{name}="{escaped}"')
    return ",".join(pairs)


__all__ = ["CONTENT_TYPE", "Metrics"]
