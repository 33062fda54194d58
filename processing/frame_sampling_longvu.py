# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU's frame choices as pure functions of the clip's metadata.

After https://github.com/Vision-CAIR/LongVU (Apache-2.0). Rounding is half-to-even throughout. A step that would round
to 0, which stops the original, is 1 here.
"""

from collections.abc import Callable, Sequence


def rate_indices(total_frames: int, fps: float, rate: float = 1.0) -> list[int]:
    """About `rate` frames per second from the first on: the demo's and, with the recipe's rate, training's rule."""
    return list(range(0, total_frames, max(1, round(fps / rate))))


def thin_evenly(indices: Sequence[int], limit: int) -> list[int]:
    """At most `limit` of them, evenly."""
    if len(indices) <= limit:
        return list(indices)
    return [indices[k * len(indices) // limit] for k in range(limit)]


def uniform_100_indices(total_frames: int, fps: float, rate: float = 1.0) -> list[int]:
    """Training with `uniform_sample`: at most 100 frames."""
    return thin_evenly(rate_indices(total_frames, fps, rate), 100)


def half_fps_indices(total_frames: int, fps: float) -> list[int]:
    """VideoMME: one frame in two seconds, of a frame rate that is rounded first."""
    return list(range(0, total_frames, max(1, 2 * round(fps))))


def half_fps_cap_indices(total_frames: int, fps: float) -> list[int]:
    """EgoSchema and MLVU: [`half_fps_indices`], and of more than 1000 every n-th; up to 1999 may be left."""
    indices = half_fps_indices(total_frames, fps)
    return indices[:: len(indices) // 1000] if len(indices) > 1000 else indices


def mvbench_indices(total_frames: int, fps: float, start: float | None = None, end: float | None = None) -> list[int]:
    """MVBench: two frames per second between bounds in seconds, the end excluded; may be empty."""
    step = max(1, round(fps / 2))
    if start is None or end is None:
        return list(range(0, total_frames, step))
    return list(range(max(0, round(start * fps)), min(round(end * fps), total_frames - 1), step))


def frame_folder_indices(
    total_frames: int, start: float | None = None, end: float | None = None, fps: float = 3.0
) -> list[int]:
    """MVBench's folders of numbered images: numbers from 1 on, every second one, `total_frames` excluded."""
    first = 1 if start is None else max(1, round(start * fps))
    last = total_frames if end is None else min(round(end * fps), total_frames)
    return list(range(first, last, 2))


# Rules that the metadata alone decides, by the name that the video processor's `sampling` takes.
SAMPLING_RULES: dict[str, Callable[[int, float], list[int]]] = {
    "one_fps": rate_indices,
    "uniform_100": uniform_100_indices,
    "half_fps": half_fps_indices,
    "half_fps_cap": half_fps_cap_indices,
    "mvbench": mvbench_indices,
}


__all__ = [
    "SAMPLING_RULES",
    "frame_folder_indices",
    "half_fps_cap_indices",
    "half_fps_indices",
    "mvbench_indices",
    "rate_indices",
    "thin_evenly",
    "uniform_100_indices",
]
