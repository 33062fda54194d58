# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the runner needs of a model, be it a network or a stub; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .prompts import PlainStyle
from .records import SampleRecord
from .tasks.base import Sample, Task


if TYPE_CHECKING:
    from ..cli.answering import Prompt


@dataclass
class Prepared:
    """A sample that was read and put into words.

    Attributes:
        sample: the question.
        prompt: what the model is given; None where the video cannot be read.
        seconds: that reading took.
        error: why it cannot be read.
    """

    sample: Sample
    prompt: Prompt | None = None
    seconds: float = 0.0
    error: str = ""


class Predictor(Protocol):
    """What the runner needs of a model."""

    style: PlainStyle

    def describe(self) -> dict[str, Any]:
        """What answers depend on, for `run.json`."""

    def prepare(self, task: Task, sample: Sample) -> Prepared:
        """Reads the video and writes the prompt. May run beside [`answer`], in another thread."""

    def answer(self, task: Task, prepared: Prepared) -> SampleRecord:
        """The fields of a record that the model decides: prompt, answer, frames, times, tokens, timing."""
