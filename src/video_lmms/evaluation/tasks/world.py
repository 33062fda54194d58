# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The synthetic world of this package: moving shapes, and words that answer questions about them.

Its clips are drawn into the data folder, where nothing needs to be beforehand; what is drawn is the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...data.questions import VISIBLE_TYPES, answers_of
from ...data.scenes import write_clip
from ...data.world import SPLITS, draw_sample
from ...data.world import Sample as Drawn
from .base import Sample, Task


SEED = 77
SPLIT = "held_out"
CLIPS_PER_TYPE = 100


def drawn(kind: str, number: int) -> Drawn:
    """The scene of a clip and its question: the same every time."""
    rng = np.random.default_rng([SEED, SPLITS.index(SPLIT), number])
    return draw_sample(rng, (kind,), SPLIT)


def read(folder: Path, kinds: Sequence[str] | None = None, count: int | None = None) -> Iterator[Sample]:
    """Samples by type of question; [`draw`] makes their clips.

    Args:
        folder: for the clips.
        kinds: types of questions; None for all about what is seen.
        count: clips of each; None for a hundred.
    """
    for kind in kinds or VISIBLE_TYPES:
        for number in range(count or CLIPS_PER_TYPE):
            (question,) = drawn(kind, number).questions
            yield Sample(
                id=f"{kind}/{number}",
                video=folder / kind / f"{number:05d}.mp4",
                question=question.text,
                expected=question.answer,
                subset=kind,
                details={"words": list(answers_of(kind)), "span": question.span},
            )


def draw(samples: Sequence[Sample]) -> None:
    """Draws the clips that are not there yet."""
    for sample in samples:
        if not sample.video.exists():
            partial = sample.video.with_name(f"partial-{sample.video.name}")
            write_clip(drawn(sample.subset, int(sample.video.stem)).scene, partial)
            partial.replace(sample.video)


TASKS = (
    Task(
        name="world",
        title="synthetic world",
        kind="word",
        read=read,
        layout="nothing: the clips are drawn there",
        source="this package",
        draw=draw,
    ),
)
