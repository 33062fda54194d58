# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB's video input: a frame per second for optical flow, and the candidates among them.

Restates https://github.com/bigai-nlco/VideoTGB: indices and 8-bit frames are equal bit for bit with
`backend="exact"`. Frames are squashed to a square, by a bilinear filter without antialiasing whose result is cut to
whole grey levels: the weights are used to these pixels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tvF
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling
from transformers.processing_utils import Unpack
from transformers.utils import logging
from transformers.video_utils import VideoMetadata

from .frame_sampling_videotgb import (
    NUM_CANDIDATES,
    candidate_indices,
    demo_indices,
    middle_indices,
    rate_indices,
    training_indices,
)
from .video_inputs import FrameTransform
from .video_processing_video_lmm import VideoLmmVideoProcessor, VideoLmmVideosKwargs


logger = logging.get_logger(__name__)

ASSUMED_FPS = 24.0


def frame_rate(metadata: VideoMetadata) -> float:
    """Frames per second; arrays have none, and 24 is assumed with a warning, as elsewhere in transformers."""
    if metadata.fps is not None:
        return metadata.fps
    logger.warning_once(
        f"The frame rate of a video is unknown; {ASSUMED_FPS:g} per second is assumed, of which one is taken. Pass "
        "`video_metadata=[VideoMetadata(total_num_frames=..., fps=...)]`, or `do_sample_frames=False` to take all."
    )
    return ASSUMED_FPS


class VideotgbVideoProcessorKwargs(VideoLmmVideosKwargs, total=False):
    """
    num_candidate_frames (`int`, *optional*, defaults to 32):
        Frames that the model chooses from.
    sampling (`str`, *optional*, defaults to `"rate"`):
        `"rate"` reads `fps` frames per second, `"demo"` every frame up to 100, `"training"` 32 of the whole clip.
    """

    num_candidate_frames: int
    sampling: Literal["rate", "demo", "training"]


def squash_frame(frame: np.ndarray, size: tuple[int, int], backend: str, of_three: bool = False) -> np.ndarray:
    """(height, width, channels) -> `size` = (height, width), whatever the aspect; 8-bit frames are cut, not rounded.

    The original resizes a clip with its frames in the place of channels. PyTorch has a kernel of its own for three
    channels, which rounds in another order; `of_three` says that the frame is from a clip of three.
    """
    if frame.shape[:2] == size:
        return frame
    tensor = torch.from_numpy(frame).permute(2, 0, 1).contiguous()
    if backend == "exact":
        planes = tensor.float()[None] if of_three else tensor.float()[:, None]
        resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
        resized = resized.reshape(-1, *size).to(tensor.dtype)
    else:
        resized = tvF.resize(tensor, list(size), interpolation=tvF.InterpolationMode.BILINEAR, antialias=False)
    return resized.permute(1, 2, 0).numpy()


class VideotgbVideoProcessor(VideoLmmVideoProcessor):
    r"""Videos to candidates (videos, 32, 3, 224, 224) and flow frames (frames of all videos, 3, 224, 224).

    Args:
        fps (`float`, *optional*, defaults to 1):
            Frames per second that flow is computed between. The original's step is a whole number of frames; its
            sampler was trained at 2.
        num_frames (`int`, *optional*):
            Flow frames to take instead, in the middle of as many equal parts.
        num_candidate_frames (`int`, *optional*, defaults to 32):
            Frames that the model chooses from. A short clip repeats them.
        size (`dict`, *optional*, defaults to `{"height": 224, "width": 224}`):
            What tower and flow see.
    """

    valid_kwargs = VideotgbVideoProcessorKwargs
    model_input_names = ["pixel_values_videos", "flow_pixel_values", "num_flow_frames"]
    resample = PILImageResampling.BILINEAR
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    size = {"height": 224, "width": 224}
    default_to_square = True
    do_resize = True
    fps = 1
    num_frames = None
    num_candidate_frames = NUM_CANDIDATES
    sampling = "rate"

    def sample_frames(
        self,
        metadata: VideoMetadata,
        num_frames: int | None = None,
        fps: float | None = None,
        sampling: str | None = None,
        start: float | None = None,
        end: float | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """Indices of the flow frames of one video.

        Args:
            metadata: frame count and frame rate.
            num_frames: flow frames to take instead of what `fps` gives.
            fps: flow frames per second.
            sampling: see [`VideotgbVideoProcessorKwargs`].
            start: seconds; nothing before is taken.
            end: seconds; nothing after is taken.

        Raises:
            ValueError: times are asked for but the frame rate is unknown, or nothing lies between them.
        """
        total, rate = metadata.total_num_frames, metadata.fps
        first, last = 0, total
        if start is not None or end is not None:
            if rate is None:
                raise ValueError(
                    "`start` and `end` need the frame rate of the video, and an array has none. Pass "
                    "`video_metadata=[VideoMetadata(total_num_frames=..., fps=...)]`."
                )
            first = round((start or 0) * rate)
            last = total if end is None else min(total, round(end * rate) + 1)
            if first >= last:
                raise ValueError(
                    f"Nothing lies between `start` = {start} s and `end` = {end} s of a video of {total / rate:.2f} s."
                )
        sampling = sampling or self.sampling
        if num_frames is not None:
            indices = middle_indices(num_frames, last - first)
        elif sampling == "demo":
            indices = demo_indices(last - first)
        elif sampling == "training":
            indices = training_indices(last - first)
        else:
            indices = rate_indices(last - first, frame_rate(metadata), fps or self.fps)
        return [first + index for index in indices]

    def frame_transforms(
        self,
        sizes: Sequence[tuple[int, int]],
        *,
        do_resize: bool,
        size: Any,
        backend: str,
        frame_counts: Sequence[int],
        **options: Any,
    ) -> list[FrameTransform]:
        """One squash to a square."""
        if not do_resize:
            return [np.asarray] * len(sizes)
        step = partial(squash_frame, size=(size.height, size.width), backend=backend)
        return [partial(step, of_three=count == 3) for count in frame_counts]

    def preprocess(self, videos: Any, **kwargs: Unpack[VideotgbVideoProcessorKwargs]) -> BatchFeature:
        """Samples, resizes and normalises videos; see [`VideoLmmVideoProcessor.preprocess`] for their forms.

        Returns:
            `pixel_values_videos` (videos, candidates, 3, H, W), `flow_pixel_values` (flow frames of all videos, 3, H,
            W) and `num_flow_frames` (videos,), and with `return_metadata=True` one [`FrameMetadata`] per video under
            `video_metadata`, whose `frames_indices` are the flow frames.

        Raises:
            VideoError: a source that is refused, is no video, or cannot be decoded.
            ValueError: an unknown or inconsistent option.
        """
        return_tensors = kwargs.pop("return_tensors", None)
        data = super().preprocess(videos, **kwargs)
        flow_frames = data["pixel_values_videos"]
        candidates = kwargs.get("num_candidate_frames") or self.num_candidate_frames
        data["pixel_values_videos"] = [video[candidate_indices(len(video), candidates)] for video in flow_frames]
        data["flow_pixel_values"] = [frame for video in flow_frames for frame in video]
        data["num_flow_frames"] = [len(video) for video in flow_frames]
        return BatchFeature(data, tensor_type=return_tensors, skip_tensor_conversion=["video_metadata"])


__all__ = ["VideotgbVideoProcessor", "VideotgbVideoProcessorKwargs", "squash_frame"]
