# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Video-LLaMA's frame choices as pure functions, and the sentence that tells the language model about them."""

import random
from collections.abc import Sequence

import numpy as np


def uniform_indices(total_frames: int, num_frames: int) -> list[int]:
    """Every (total / n)-th frame from the first on, rounded down, n = min(num_frames, total_frames).

    The end of the clip is never seen: the last index is total - ceil(total / n).
    """
    count = min(num_frames, total_frames)
    return [step * total_frames // count for step in range(count)]


def original_uniform_indices(total_frames: int, num_frames: int) -> list[int]:
    """The same with the original's rounding errors, which a range of floats brings in.

    For the 8 frames of every published model there are none. For other numbers there may be one index too many, one
    that is the number of frames (which cannot be decoded), or one that is too low by one.
    """
    count = min(num_frames, total_frames)
    return np.arange(0, total_frames, total_frames / count).astype(int).tolist()


def headtail_indices(total_frames: int, num_frames: int, generator: random.Random) -> list[int]:
    """First training stage: half of the frames at random from each half of the clip, in order.

    Args:
        total_frames: frames of the clip.
        num_frames: frames to draw; an odd number loses one.
        generator: Python's own, as in the original; its draws are replayed by a seed.
    """
    count = min(num_frames, total_frames)
    head = generator.sample(range(total_frames // 2), count // 2)
    tail = generator.sample(range(total_frames // 2, total_frames), count // 2)
    return sorted(head) + sorted(tail)


def timestamps_message(indices: Sequence[int], fps: float) -> str:
    """What the prompt says about a video: how many frames, and when they were taken.

    Args:
        indices: of the sampled frames.
        fps: mean frame rate of the clip.
    """
    times = ", ".join(str(round(index / fps, 1)) for index in indices)
    return f"The video contains {len(indices)} frames sampled at {times} seconds. "


__all__ = ["headtail_indices", "original_uniform_indices", "timestamps_message", "uniform_indices"]
