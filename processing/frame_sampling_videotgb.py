# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB's frame choices as pure functions of the clip's length and rate.

After https://github.com/bigai-nlco/VideoTGB. The choice that depends on the question is the model's; these only say
what it may choose from.
"""

from collections.abc import Sequence
from math import floor


NUM_CANDIDATES = 32
# The demo reads every frame of short clips, and so many of longer ones.
DEMO_FRAMES = 100


def rate_indices(total_frames: int, fps: float, rate: float = 1.0) -> list[int]:
    """About `rate` frames per second from the first on: what optical flow is computed between.

    The original cuts the frame rate to a whole number, and stops where that gives 0; here the step is then 1.
    """
    return list(range(0, total_frames, max(1, int(fps / rate))))


def repeat_to(indices: Sequence[int], count: int) -> list[int]:
    """Doubles every entry in place until there are at least `count`."""
    indices = list(indices)
    while 0 < len(indices) < count:
        indices = [index for index in indices for _ in range(2)]
    return indices


def middle_indices(count: int, total: int) -> list[int]:
    """Middles of `count` equal parts of `total` positions; all of them if there are not more."""
    if total <= count:
        return list(range(total))
    edges = [floor(part * total / count) for part in range(count + 1)]
    return [(low + high - 1) // 2 for low, high in zip(edges[:-1], edges[1:], strict=True)]


def candidate_indices(flow_frames: int, count: int = NUM_CANDIDATES) -> list[int]:
    """Which of the flow frames the vision tower may be asked to see, `count` of them.

    Of more than `count` it takes the second frame of each part, as a misplaced argument of the original has it.
    """
    indices = repeat_to(range(flow_frames), count)
    if len(indices) <= count:
        return indices
    return [indices[floor(part * len(indices) / count) + 1] for part in range(count)]


def training_indices(total_frames: int, count: int = NUM_CANDIDATES) -> list[int]:
    """Candidates as the training loader reads them, from the whole clip at its own frame rate."""
    indices = repeat_to(range(total_frames), count)
    return [indices[place] for place in middle_indices(count, len(indices))]


def demo_indices(total_frames: int) -> list[int]:
    """The demo's reading: every frame, or [`DEMO_FRAMES`] of them."""
    return middle_indices(DEMO_FRAMES, total_frames)


def span_indices(span: Sequence[float], num_frames: int, count: int = NUM_CANDIDATES) -> list[int]:
    """Candidates that training with a fixed span takes; fewer than `num_frames` if the span holds fewer.

    Args:
        span: start and end as parts of the clip, from 0 to 1.
        num_frames: to take at most.
        count: candidates of a clip.
    """
    first, last = (int(part * (count - 1)) for part in span)
    return [first + place for place in middle_indices(num_frames, last - first + 1)]


__all__ = [
    "NUM_CANDIDATES",
    "candidate_indices",
    "demo_indices",
    "middle_indices",
    "rate_indices",
    "repeat_to",
    "span_indices",
    "training_indices",
]
