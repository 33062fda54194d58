# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""PLLaVA's video input: uniform frames, two bicubic passes, centre crop.

Both steps restate https://github.com/magic-research/PLLaVA (Apache-2.0): indices and 8-bit frames are equal bit for
bit with `backend="exact"`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling
from transformers.video_utils import VideoMetadata

from .frame_sampling_pllava import repeat_distinct, uniform_indices
from .video_inputs import FrameTransform
from .video_processing_video_lmm import VideoLmmVideoProcessor, VideoLmmVideosKwargs, resize_frame


# The original never enlarges a video beyond this before the CLIP resize.
MAX_LONG_EDGE = 640
# It takes this rate for animated images, whose frames have delays of their own.
GIF_FPS = 25.0

Size = tuple[int, int]


def harmonise_sizes(sizes: Sequence[Size], shortest_edge: int) -> tuple[int, int]:
    """(short, long) edge that the videos of one call are brought to: the least elongated one decides.

    Args:
        sizes: (height, width) of each video.
        shortest_edge: what the vision tower needs at least.
    """
    ratio = min(max(size) / min(size) for size in sizes)
    short = max(min(size) for size in sizes)
    long = min(MAX_LONG_EDGE, max(max(size) for size in sizes))
    short = min(short, int(long / ratio))
    short = max(short, shortest_edge)
    return short, int(short * ratio)


def harmonise_frame(frame: np.ndarray, short: int, long: int, resample: int, backend: str) -> np.ndarray:
    """First pass: short edge to `short`, then a crop of the long edge to `long`.

    The crop starts at half of the margin's half, towards the top or left, as in the original.
    """
    height, width = frame.shape[:2]
    scaled = int(short * max(height, width) / min(height, width))
    vertical = height > width
    frame = resize_frame(frame, (scaled, short) if vertical else (short, scaled), resample, backend)
    start = (scaled - long) // 2 // 2
    return frame[start : start + long] if vertical else frame[:, start : start + long]


def resize_and_center_crop(frame: np.ndarray, size: int, crop: Size, resample: int, backend: str) -> np.ndarray:
    """Second pass, CLIP's own: short edge to `size`, then the middle `crop` = (height, width)."""
    height, width = frame.shape[:2]
    scaled = int(size * max(height, width) / min(height, width))
    frame = resize_frame(frame, (scaled, size) if height > width else (size, scaled), resample, backend)
    top, left = (frame.shape[0] - crop[0]) // 2, (frame.shape[1] - crop[1]) // 2
    return frame[top : top + crop[0], left : left + crop[1]]


def pllava_frame(
    frame: np.ndarray, short: int, long: int, size: int, crop: Size, resample: int, backend: str
) -> np.ndarray:
    """Both passes on one (height, width, 3) frame."""
    frame = harmonise_frame(frame, short, long, resample, backend)
    return resize_and_center_crop(frame, size, crop, resample, backend)


class PllavaVideoProcessorKwargs(VideoLmmVideosKwargs, total=False):
    """Nothing beyond the shared options."""


class PllavaVideoProcessor(VideoLmmVideoProcessor):
    r"""Videos to `pixel_values_videos` (videos, frames, 3, 336, 336) for PLLaVA.

    The videos of one call share the first resize pass, as the original's do: where their aspect ratios differ, the
    more elongated ones are cropped to the least elongated one. [`PllavaProcessor`] makes one call per prompt.

    Args:
        num_frames (`int`, *optional*, defaults to 16):
            Frames per video; a shorter video repeats frames.
        size (`dict`, *optional*, defaults to `{"shortest_edge": 336}`):
            Short edge before the centre crop.
        crop_size (`dict`, *optional*, defaults to `{"height": 336, "width": 336}`):
            What the vision tower sees.
    """

    valid_kwargs = PllavaVideoProcessorKwargs
    resample = PILImageResampling.BICUBIC
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    size = {"shortest_edge": 336}
    crop_size = {"height": 336, "width": 336}
    default_to_square = False
    do_resize = True
    do_center_crop = True
    num_frames = 16

    def sample_frames(
        self,
        metadata: VideoMetadata,
        num_frames: int | None = None,
        fps: float | None = None,
        start: float | None = None,
        end: float | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """Frame indices of one video.

        Args:
            metadata: frame count, and the frame rate if `start`, `end` or `fps` is given.
            num_frames: frames to take, uniformly; may exceed the clip.
            fps: frames per second to take instead; the number of frames then follows the clip.
            start: seconds; nothing before is taken.
            end: seconds; nothing after is taken.

        Raises:
            ValueError: times are asked for but the frame rate is unknown, or `start` lies behind the clip.
        """
        rate = GIF_FPS if getattr(metadata, "codec", None) == "gif" else metadata.fps
        timed = start is not None or end is not None or fps is not None
        if timed and rate is None:
            raise ValueError(
                "`fps`, `start` and `end` need the frame rate of the video, and an array has none. Pass "
                "`video_metadata=[VideoMetadata(total_num_frames=..., fps=...)]`."
            )
        if start is not None and round(start * rate) > metadata.total_num_frames - 1:
            raise ValueError(
                f"`start` is {start} s, but the video has {metadata.total_num_frames} frames at {rate:g} per second: "
                f"it must be below {metadata.total_num_frames / rate:.2f} s."
            )
        if fps is not None:
            seconds = metadata.total_num_frames / rate
            span = min(end if end is not None else seconds, seconds) - (start or 0)
            num_frames = max(1, round(span * fps))
        indices = uniform_indices(metadata.total_num_frames, num_frames or self.num_frames, rate, start, end)
        if getattr(metadata, "codec", None) == "gif":
            return repeat_distinct(indices)
        return indices

    def frame_transforms(
        self,
        sizes: Sequence[Size],
        *,
        do_resize: bool,
        size: Any,
        do_center_crop: bool,
        crop_size: Any,
        resample: int,
        backend: str,
        **options: Any,
    ) -> list[FrameTransform]:
        """The two passes, planned for all videos of the call together."""
        if not do_resize:
            return [np.asarray] * len(sizes)
        short, long = harmonise_sizes(sizes, size.shortest_edge)
        if not do_center_crop:
            step = partial(harmonise_frame, short=short, long=long, resample=resample, backend=backend)
        else:
            step = partial(
                pllava_frame,
                short=short,
                long=long,
                size=size.shortest_edge,
                crop=(crop_size.height, crop_size.width),
                resample=resample,
                backend=backend,
            )
        return [step] * len(sizes)


__all__ = ["PllavaVideoProcessor", "PllavaVideoProcessorKwargs"]
