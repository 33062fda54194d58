# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""PLLaVA's frame choices as pure functions of the clip's metadata.

Rounding is half-to-even throughout and truncation falls where the original put it; both are visible in the numbers
and must not be replaced by `linspace`.
"""

from collections.abc import Sequence

import numpy as np


def uniform_indices(
    total_frames: int,
    num_frames: int,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    first_index: int = 0,
) -> list[int]:
    """Inference sampling: `num_frames` indices, each near the middle of an equal segment.

    Args:
        total_frames: frames of the clip.
        num_frames: indices to return; more than the clip has repeats frames.
        fps: frame rate; needed only with `start` or `end`.
        start: seconds, or None.
        end: seconds, or None.
        first_index: 0; 1 for a folder of numbered frame files, whose last index is `total_frames`.
    """
    first, last = first_index, total_frames - 1 + first_index
    if start is not None:
        first = max(first, round(start * fps))
    if end is not None:
        last = min(last, round(end * fps))
    segment = float(last - first) / num_frames
    steps = np.round(segment * np.arange(num_frames))
    return [int(first + segment / 2 + step) for step in steps]


def repeat_distinct(indices: Sequence[int]) -> list[int]:
    """Animated images: the distinct indices, cycled until there are as many as before."""
    distinct = sorted(set(indices))
    return [distinct[k % len(distinct)] for k in range(len(indices))]


def training_intervals(total_frames: int, num_frames: int) -> list[tuple[int, int]]:
    """Training cuts the clip into min(num_frames, total_frames) intervals [a, b): one frame is drawn from each.

    The original draws from a <= i < b - 1, so the last frame of an interval is never chosen; the pairs returned are
    those inclusive-exclusive borders.
    """
    borders = np.linspace(0, total_frames, min(num_frames, total_frames) + 1).astype(int)
    return [(int(a), int(b) - 1) for a, b in zip(borders[:-1], borders[1:], strict=True)]


def random_indices(total_frames: int, num_frames: int, generator: np.random.Generator) -> list[int]:
    """Training sampling: one random frame per interval, the last repeated up to `num_frames`.

    If an interval is too short to draw from, a sorted random subset of the clip is taken instead.
    """
    intervals = training_intervals(total_frames, num_frames)
    if all(a < b for a, b in intervals):
        chosen = [int(generator.integers(a, b)) for a, b in intervals]
    else:
        chosen = sorted(int(i) for i in generator.permutation(total_frames)[: len(intervals)])
    return pad_with_last(chosen, num_frames)


def middle_indices(total_frames: int, num_frames: int) -> list[int]:
    """Training sampling without chance: the middle of each interval, the last repeated up to `num_frames`."""
    return pad_with_last([(a + b) // 2 for a, b in training_intervals(total_frames, num_frames)], num_frames)


def fps_indices(total_frames: int, fps: float, output_fps: float, max_frames: int | None = None) -> list[int]:
    """Training sampling at a fixed rate: a frame every 1 / `output_fps` seconds, from half a step."""
    step = 1 / output_fps
    times = np.arange(step / 2, total_frames / fps + step / 2, step)
    indices = [int(i) for i in np.around(times * fps) if i < total_frames]
    return indices if max_frames is None else indices[:max_frames]


def pad_with_last(indices: list[int], length: int) -> list[int]:
    return indices + indices[-1:] * (length - len(indices))


__all__ = [
    "fps_indices",
    "middle_indices",
    "random_indices",
    "repeat_distinct",
    "training_intervals",
    "uniform_indices",
]
