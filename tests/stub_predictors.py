# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Predictors that need no model: perfect, constant, random."""

from __future__ import annotations

import random
from collections.abc import Callable

from video_lmms.evaluation.predictor import Prepared
from video_lmms.evaluation.prompts import find_style
from video_lmms.evaluation.tasks import Sample, Task
from video_lmms.evaluation.tasks.base import LETTERS


INFO = {"model": "stub", "arguments": {}, "seed": 0, "device": "none", "versions": {}}


class StubPredictor:
    """Answers by a function of task and sample."""

    def __init__(self, say: Callable[[Task, Sample], str], style: str = "plain"):
        self.say, self.style = say, find_style(style)

    def describe(self) -> dict:
        return {}

    def prepare(self, task: Task, sample: Sample) -> Prepared:
        return Prepared(sample)

    def answer(self, task: Task, prepared: Prepared) -> dict:
        return {
            "prompt": prepared.sample.question,
            "answer": self.say(task, prepared.sample),
            "frames": [[0, 1]],
            "times": [[0.0, 0.5]],
            "num_video_tokens": 2,
            "timing": {"prepare_s": 0.0, "generate_s": 0.0},
        }


def perfect(task: Task, sample: Sample) -> str:
    if task.kind == "grounding":
        return "It happens in {} - {} seconds".format(*sample.expected)
    return sample.expected or "A"


def constant(task: Task, sample: Sample) -> str:
    return "A"


def at_random(seed: int = 0) -> Callable[[Task, Sample], str]:
    rng = random.Random(seed)

    def say(task: Task, sample: Sample) -> str:
        return rng.choice(LETTERS[: len(sample.choices)]) if sample.choices else "nothing"

    return say
