# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Video-LLaMA's video input: uniform frames, squashed to a square by the decoder itself.

Restates https://github.com/DAMO-NLP-SG/Video-LLaMA (BSD-3-Clause). The original lets its decoder resize, which happens
before colours are converted; `backend="exact"` does the same, bit for bit, for files. Frames that come decoded are
resized by PIL, the closest that is left (about 1.3 grey levels apart on natural clips).
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling
from transformers.processing_utils import Unpack
from transformers.video_utils import VideoMetadata

from .frame_sampling_video_llama import headtail_indices, original_uniform_indices, uniform_indices
from .video_inputs import FrameTransform
from .video_processing_video_lmm import VideoLmmVideoProcessor, VideoLmmVideosKwargs, resize_frame


class VideoLlamaVideoProcessorKwargs(VideoLmmVideosKwargs, total=False):
    """
    sampling (`str`, *optional*, defaults to `"uniform"`):
        `"uniform"`; `"original_uniform"` with the original's rounding errors; `"headtail"` at random, for training.
    do_pad (`bool`, *optional*, defaults to `True`):
        Whether shorter videos are padded to the longest one's length.
    """

    sampling: Literal["uniform", "original_uniform", "headtail"] | None
    do_pad: bool | None


def pad_frames(videos: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Brings videos of different lengths to the longest one's with black frames.

    Args:
        videos: (frames, 3, H, W) each.

    Returns:
        (longest, 3, H, W) each, and (longest,) masks, 1 on frames that exist.
    """
    longest = max(map(len, videos))
    masks = [torch.arange(longest) < len(video) for video in videos]
    padded = [torch.cat([video, video.new_zeros(longest - len(video), *video.shape[1:])]) for video in videos]
    return padded, [mask.long() for mask in masks]


class VideoLlamaVideoProcessor(VideoLmmVideoProcessor):
    r"""Videos to `pixel_values_videos` (videos, frames, 3, 224, 224), with `frame_mask` where their lengths differ.

    Args:
        num_frames (`int`, *optional*, defaults to 8):
            Frames per video; a shorter video gives all it has.
        size (`dict`, *optional*, defaults to `{"height": 224, "width": 224}`):
            What the vision tower sees; the aspect ratio is not kept.
        sampling (`str`, *optional*, defaults to `"uniform"`):
            Which frames are taken.
    """

    valid_kwargs = VideoLlamaVideoProcessorKwargs
    model_input_names = ["pixel_values_videos", "frame_mask"]
    resample = PILImageResampling.BILINEAR
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    size = {"height": 224, "width": 224}
    do_resize = True
    num_frames = 8
    sampling = "uniform"
    do_pad = True

    def sample_frames(
        self,
        metadata: VideoMetadata,
        num_frames: int | None = None,
        fps: float | None = None,
        start: float | None = None,
        end: float | None = None,
        sampling: str | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """Frame indices of one video.

        Args:
            metadata: frame count, and the frame rate if `fps`, `start` or `end` is given.
            num_frames: frames to take.
            fps: frames per second to take instead.
            start: seconds; nothing before is taken.
            end: seconds; nothing after is taken.
            sampling: `"uniform"`, `"original_uniform"` or `"headtail"`.

        Raises:
            ValueError: times are asked for but the frame rate is unknown, or leave no frame.
        """
        first, total = 0, metadata.total_num_frames
        if start is not None or end is not None or fps is not None:
            if metadata.fps is None:
                raise ValueError(
                    "`fps`, `start` and `end` need the frame rate of the video, and an array has none. Pass "
                    "`video_metadata=[VideoMetadata(total_num_frames=..., fps=...)]`."
                )
            first = 0 if start is None else round(start * metadata.fps)
            last = total if end is None else min(total, round(end * metadata.fps) + 1)
            if not 0 <= first < last:
                raise ValueError(
                    f"`start` is {start} s and `end` {end} s, but the video has {total} frames at {metadata.fps:g} "
                    f"per second: choose a span between 0 and {total / metadata.fps:.2f} s."
                )
            total = last - first
        if fps is not None:
            num_frames = max(1, round(total / metadata.fps * fps))
        count = num_frames or self.num_frames
        sampling = sampling or self.sampling
        if sampling == "headtail":
            chosen = headtail_indices(total, count, random)
        else:
            chosen = (original_uniform_indices if sampling == "original_uniform" else uniform_indices)(total, count)
        return [first + index for index in chosen]

    def decoder_size(self, *, do_resize: bool, size: Any, backend: str, **options: Any) -> tuple[int, int] | None:
        """The exact backend leaves resizing to the decoder."""
        return (size.height, size.width) if do_resize and backend == "exact" else None

    def frame_transforms(
        self,
        sizes: Sequence[tuple[int, int]],
        *,
        do_resize: bool,
        size: Any,
        resample: int,
        backend: str,
        **options: Any,
    ) -> list[FrameTransform]:
        """Squashes to a square what the decoder has not."""
        if not do_resize:
            return [np.asarray] * len(sizes)
        step = partial(resize_frame, size=(size.height, size.width), resample=resample, backend=backend)
        return [step] * len(sizes)

    def preprocess(self, videos: Any, **kwargs: Unpack[VideoLlamaVideoProcessorKwargs]) -> BatchFeature:
        """[`VideoLmmVideoProcessor.preprocess`]; shorter videos are padded, and `frame_mask` says where."""
        return_tensors = kwargs.pop("return_tensors", None)
        data = super().preprocess(videos, **kwargs)
        frames = data["pixel_values_videos"]
        do_pad = self.do_pad if kwargs.get("do_pad") is None else kwargs["do_pad"]
        if do_pad and len({len(video) for video in frames}) > 1:
            data["pixel_values_videos"], data["frame_mask"] = pad_frames(frames)
        return BatchFeature(data, tensor_type=return_tensors, skip_tensor_conversion=["video_metadata"])


__all__ = ["VideoLlamaVideoProcessor", "VideoLlamaVideoProcessorKwargs", "pad_frames"]
