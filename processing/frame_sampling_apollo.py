# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Where Apollo puts its clips, as pure functions of the video's metadata.

A video becomes clips of `clip_duration` seconds, each sampled at `frames_per_clip` frames. Short videos are tiled;
where the clips' tokens would exceed their share of the context, fewer clips are spread evenly. Floors fall where the
original has them and are visible in the numbers.
"""

from math import ceil
from typing import NamedTuple


class ClipPlan(NamedTuple):
    """What decides the placement besides the video.

    Attributes:
        clip_duration: seconds; also printed in the prompt.
        frames_per_clip: frames sampled from a clip.
        tokens_per_clip: what a clip costs.
        context_length: tokens that fit into the context.
        clip_sampling_ratio: share of the context that the video may take.
    """

    clip_duration: float
    frames_per_clip: int
    tokens_per_clip: int
    context_length: int
    clip_sampling_ratio: float


def effective_ratio(total_frames: int, fps: float, plan: ClipPlan) -> float:
    """Part of the video that its clips may cover: 1 while all of them fit into their share of the context."""
    seconds = total_frames / fps
    wanted = seconds * plan.tokens_per_clip / plan.clip_duration
    return min(1, plan.context_length * plan.clip_sampling_ratio / wanted)


def count_clips(total_frames: int, fps: float, plan: ClipPlan) -> int:
    """Number of clips, at least one."""
    seconds = total_frames / fps
    return ceil(seconds / plan.clip_duration * effective_ratio(total_frames, fps, plan))


def clip_indices(total_frames: int, fps: float, num_clips: int, plan: ClipPlan) -> list[list[int]]:
    """Frame indices of every clip.

    Args:
        total_frames: frames of the video, at least one.
        fps: its frame rate; times are index / fps throughout, as in the original.
        num_clips: clips to place, see [`count_clips`].
        plan: clip length and frames per clip.

    Returns:
        `num_clips` lists of `frames_per_clip` indices; a slow video (1 fps or less with the published plan) may give
        longer ones, in which frames are repeated evenly.
    """
    step = fps / (plan.frames_per_clip / plan.clip_duration)
    if step > 0.5:
        return sampled_clips(total_frames, num_clips, max(1, int(step)), plan.frames_per_clip)
    return repeating_clips(total_frames, num_clips, step, plan.frames_per_clip)


def sampled_clips(total_frames: int, num_clips: int, step: int, frames_per_clip: int) -> list[list[int]]:
    """Every `step`-th frame: in the middle of equal partitions, or from evenly spread starts where those are short."""
    length, partition = frames_per_clip * step, total_frames // num_clips
    if partition > length:
        start = (partition - length) // 2
        first = [min(index, partition - 1) for index in range(start, start + length, step)]
        return [[index + clip * partition for index in first] for clip in range(num_clips)]
    available = min(length, total_frames)
    first = pad_and_clamp(list(range(0, available, step)), available, frames_per_clip)
    return spread(first, total_frames, length, num_clips)


def repeating_clips(total_frames: int, num_clips: int, step: float, frames_per_clip: int) -> list[list[int]]:
    """Clips of a video with fewer frames than a clip wants: each frame several times."""
    length = int(frames_per_clip * step)
    if length == 0:
        # A clip lasts less than a frame. The original reads frame -1 here; this shows the frame at each clip's place.
        return [[clip * total_frames // num_clips] * frames_per_clip for clip in range(num_clips)]
    repeats = ceil(1 / step)
    repeated = [index for index in range(length) for _ in range(repeats)]
    length = min(length, len(repeated))
    first = pad_and_clamp(repeated, min(length, total_frames), frames_per_clip)
    return spread(first, total_frames, length, num_clips)


def pad_and_clamp(indices: list[int], available: int, frames_per_clip: int) -> list[int]:
    """Fills up to `frames_per_clip` with the last of `available` frames and keeps every index below it."""
    padding = [available] * (frames_per_clip - len(indices))
    return [min(index, available - 1) for index in indices + padding]


def spread(first: list[int], total_frames: int, length: int, num_clips: int) -> list[list[int]]:
    """Copies of the first clip at evenly spread starts; clips overlap where the video is short."""
    hop = (total_frames - length) // max(1, num_clips - 1) if total_frames > length else 0
    return [[index + clip * hop for index in first] for clip in range(num_clips)]


def clip_times(clips: list[list[int]], fps: float) -> list[tuple[float, float]]:
    """(start, end) of every clip in seconds: times of its first and of its last sampled frame."""
    return [(clip[0] / fps, clip[-1] / fps) for clip in clips]


__all__ = ["ClipPlan", "clip_indices", "clip_times", "count_clips", "effective_ratio"]
