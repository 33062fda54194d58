# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Which frames have to be decoded to get the ones that were asked for: arithmetic on the index, nothing is read."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass

from .video_errors import VideoFrameIndexError
from .video_index import FrameIndex


# A seek throws away the decoder's pipeline, worth about this many frames (measured on 720p H.264: the cost is flat
# between 8 and 32 and grows beyond).
SEEK_COST_FRAMES = 16
# Seeking that saves less than this share of a pass from the start saves no time, and a pass cannot overshoot.
WORTHWHILE_SAVING = 0.10


@dataclass(frozen=True)
class Run:
    """Frames decoded without a seek between them.

    Attributes:
        key: position in the index's `keys` to seek to, or None to decode from the start of the clip.
        targets: numbers of the wanted frames, ascending and distinct.
        first: number of the first frame the decoder gives.
    """

    key: int | None
    targets: tuple[int, ...]
    first: int

    @property
    def decoded_frames(self) -> int:
        """Number of frames decoded, the last target included."""
        return self.targets[-1] - self.first + 1


@dataclass(frozen=True)
class Plan:
    """How a request is read.

    Attributes:
        runs: stretches of decoding, in time order.
        linear: whether it is one pass from the start of the clip.
    """

    runs: tuple[Run, ...]
    linear: bool

    @property
    def decoded_frames(self) -> int:
        """Frames that will be decoded. A seek that overshoots (transport streams, intra-refresh) adds to it."""
        return sum(run.decoded_frames for run in self.runs)

    @property
    def seeks(self) -> int:
        """Number of seeks."""
        return sum(run.key is not None for run in self.runs)


def frame_numbers(indices: Iterable[int], num_frames: int) -> list[int]:
    """Checks frame numbers of a request.

    Args:
        indices: integers, or an integer array or tensor of one dimension; they may repeat and come in any order.
        num_frames: number of frames of the clip.

    Returns:
        The numbers as Python integers, in the order given.

    Raises:
        VideoFrameIndexError: for numbers outside `0..num_frames - 1` and for values that are not whole numbers.
    """
    numbers = []
    for value in indices:
        try:
            number = operator.index(value)
        except TypeError as exc:
            raise VideoFrameIndexError(
                f"frame numbers are integers; got {value!r} ({type(value).__name__}). Round or truncate them first."
            ) from exc
        if not 0 <= number < num_frames:
            raise VideoFrameIndexError(
                f"frame {number} is outside 0..{num_frames - 1}; the clip shows {num_frames} frames. "
                "Sample from the reader's own `info.num_frames`."
            )
        numbers.append(number)
    return numbers


def plan_reads(index: FrameIndex, wanted: Iterable[int]) -> Plan:
    """Decides where to seek and where to decode on.

    Args:
        index: index of the clip.
        wanted: numbers of the wanted frames, in any order, repeats allowed.

    Returns:
        The plan: one pass where the clip demands it or where seeking would save less than a tenth of the frames up to
        the last target.

    Raises:
        VideoFrameIndexError: for numbers outside the clip.
    """
    targets = sorted(set(frame_numbers(wanted, len(index))))
    if not targets:
        return Plan((), index.linear)
    single = Plan((Run(None, tuple(targets), 0),), True)
    if index.linear:
        return single
    plan = Plan(tuple(_runs(index, targets)), False)
    if plan.seeks == 0 or plan.decoded_frames > (1 - WORTHWHILE_SAVING) * single.decoded_frames:
        return single
    return plan


def _runs(index: FrameIndex, targets: list[int]) -> list[Run]:
    runs: list[Run] = []
    key: int | None = None
    first = position = 0
    current: list[int] = []
    for target in targets:
        target_key = index.key_of(target)
        key_frame = index.frame_of_key(target_key) if target_key is not None else 0
        if key_frame - position > SEEK_COST_FRAMES:
            if current:
                runs.append(Run(key, tuple(current), first))
            key, first, current = target_key, key_frame, []
        current.append(target)
        position = target + 1
    runs.append(Run(key, tuple(current), first))
    return runs
