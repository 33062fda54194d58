# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""What the video processors of all models share: metadata, plan, stream, then normalise.

A model states two things: `sample_frames`, the paper's sampling as a pure function of metadata, and
`frame_transforms`, its pixel chain. Frames pass through that chain while they are decoded, so that memory holds the
sampled frames at the model's size and never the clip.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import torch
import torchvision.transforms.v2.functional as tvF
from huggingface_hub.dataclasses import validate_typed_dict
from PIL import Image
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import ChannelDimension, validate_kwargs
from transformers.processing_utils import Unpack, VideosKwargs
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import (
    VideoMetadata,
    infer_channel_dimension_format,
    is_valid_video,
    make_batched_metadata,
)

from .video_errors import VideoLimits
from .video_inputs import FrameTransform, VideoSource, accept_videos, open_video, unwrapped


class VideoLmmVideosKwargs(VideosKwargs, total=False):
    """
    start (`float`, *optional*):
        Seconds; frames before are not sampled.
    end (`float`, *optional*):
        Seconds; frames after are not sampled.
    backend (`str`, *optional*, defaults to `"exact"`):
        `"exact"` resizes as the original did, bit for bit; `"torchvision"` is close to it and runs on tensors.
    limits (`dict`, *optional*):
        Sizes beyond which a video is refused, and which URLs are opened: fields of `video_errors.VideoLimits` that
        differ from its defaults.
    """

    limits: dict[str, Any] | None
    start: float | int | None
    end: float | int | None
    backend: Literal["exact", "torchvision"] | None


def resize_frame(frame: np.ndarray, size: tuple[int, int], resample: int, backend: str) -> np.ndarray:
    """Resizes one (height, width, channels) frame to `size` = (height, width).

    PIL works on 8-bit frames with up to four channels; other frames go through torchvision.
    """
    if frame.shape[:2] == size:
        return frame
    if backend == "exact" and frame.dtype == np.uint8:
        return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), resample=resample))
    tensor = torch.from_numpy(frame).permute(2, 0, 1)
    mode = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}[resample]
    mode = tvF.InterpolationMode(mode)
    return tvF.resize(tensor, list(size), interpolation=mode, antialias=True).permute(1, 2, 0).numpy()


# trf-ignore: TRF016, `preprocess` hands the flags to `frame_transforms` and `normalize_frames`, which obey them.
class VideoLmmVideoProcessor(BaseVideoProcessor):
    """Base of the video processors: videos in any form to `pixel_values_videos`.

    Subclasses override [`sample_frames`] and [`frame_transforms`].
    """

    valid_kwargs = VideoLmmVideosKwargs
    model_input_names = ["pixel_values_videos"]
    backend = "exact"
    do_sample_frames = True
    do_convert_rgb = True
    do_rescale = True
    do_normalize = True
    start = None
    end = None
    limits = None

    def __init__(self, **kwargs: Unpack[VideoLmmVideosKwargs]):
        super().__init__(**kwargs)

    def sampling_options(self, num_videos: int = 1, **kwargs: Unpack[VideoLmmVideosKwargs]) -> dict[str, Any]:
        """Options that [`sample_frames`] gets for each video of a prompt.

        Args:
            num_videos: videos that share the prompt, and with it the context.
            kwargs: options of the call; the processor's attributes are the defaults.
        """
        return self.resolve_options(kwargs)

    def num_text_tokens(self, metadata: VideoMetadata, frames_indices: Sequence[int]) -> int:
        """About how many tokens of text the prompt spends on a video besides its visual ones; for estimates.

        Args:
            metadata: frame count and frame rate.
            frames_indices: from [`sample_frames`].
        """
        return 0

    def frame_transforms(self, sizes: Sequence[tuple[int, int]], **options: Any) -> list[FrameTransform]:
        """The pixel chain of each video of a call: (height, width, 3) uint8 in, model-sized frame out.

        Args:
            sizes: (height, width) of every video of the call.
            options: the resolved call options (`size`, `resample`, `crop_size`, ...), and `frame_counts`, the sampled
                frames of every video.
        """
        raise NotImplementedError

    def decoder_size(self, **options: Any) -> tuple[int, int] | None:
        """(height, width) that a file's frames are brought to while they are decoded, before their pixel chain.

        None, unless a model's original resizes there: what comes decoded goes through the pixel chain alone.
        """
        return None

    def preprocess(self, videos: Any, **kwargs: Unpack[VideoLmmVideosKwargs]) -> BatchFeature:
        """Samples, resizes and normalises videos.

        Args:
            videos: one video or a (nested) list, in which forms may mix: path, http(s) URL, URL of an object store,
                bytes, binary file, (frames, height, width, 3) array or tensor, list of frames, list or folder of
                image files.
            kwargs: options; the processor's attributes are the defaults.

        Returns:
            `pixel_values_videos` (videos, frames, 3, height, width) float32, and with `return_metadata=True` one
            [`FrameMetadata`] per video under `video_metadata`.

        Raises:
            VideoError: a source that is refused, is no video, or cannot be decoded.
            ValueError: an unknown or inconsistent option.
        """
        options = self.resolve_options(kwargs)
        return_tensors, return_metadata = options.pop("return_tensors"), options.pop("return_metadata")
        frames, metadata = self.read_videos(videos, **options)
        videos = [self.normalize_frames(video, **options) for video in frames]
        data = BatchFeature({"pixel_values_videos": videos}, tensor_type=return_tensors)
        if return_metadata:
            data["video_metadata"] = metadata
        return data

    def resolve_options(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Checks the call's options and fills in the processor's own."""
        names = list(self.valid_kwargs.__annotations__)
        validate_kwargs(captured_kwargs=kwargs.keys(), valid_processor_keys=[*names, "return_tensors"])
        validate_typed_dict(self.valid_kwargs, kwargs)
        options = {name: getattr(self, name, None) for name in names} | kwargs
        options.setdefault("return_tensors", None)
        return self._standardize_kwargs(**options)

    def read_videos(
        self,
        videos: Any,
        *,
        video_metadata: Any = None,
        do_sample_frames: bool | None = None,
        input_data_format: str | ChannelDimension | None = None,
        limits: dict[str, Any] | None = None,
        **options: Any,
    ) -> tuple[list[np.ndarray], list[VideoMetadata]]:
        """Frames of each video after its pixel chain, (frames, height, width, channels), and the metadata."""
        videos = accept_videos(videos)
        trimming = [getattr(video, "trimming", {}) for video in videos]
        videos = [unwrapped(video) for video in videos]
        metadata = make_batched_metadata(videos, video_metadata=video_metadata)
        limits = VideoLimits.of(limits)
        with ExitStack() as stack:
            sources = [
                stack.enter_context(open_video(video, known, self.is_channels_first(video, input_data_format), limits))
                for video, known in zip(videos, metadata, strict=True)
            ]
            for source, own in zip(sources, trimming, strict=True):
                indices = self.choose_frames(source, do_sample_frames, **(options | own))
                source.metadata.frames_indices = [int(index) for index in indices]
            counts = [len(source.metadata.frames_indices) for source in sources]
            transforms = self.frame_transforms([source.size for source in sources], frame_counts=counts, **options)
            decoder_size = self.decoder_size(**options)
            frames = [
                source.frames(source.metadata.frames_indices, transform, decoder_size)
                for source, transform in zip(sources, transforms, strict=True)
            ]
        return frames, [source.metadata for source in sources]

    def choose_frames(self, source: VideoSource, do_sample_frames: bool | None, **options: Any) -> Sequence[int]:
        """Which frames of an opened video to decode; here, its metadata decides."""
        if do_sample_frames:
            return self.sample_frames(source.metadata, **options)
        return range(source.metadata.total_num_frames)

    @staticmethod
    def is_channels_first(video: Any, input_data_format: str | ChannelDimension | None) -> bool:
        """Layout of an array; files have none and answer False."""
        if not is_valid_video(video):
            return False
        return (input_data_format or infer_channel_dimension_format(video)) == ChannelDimension.FIRST

    def normalize_frames(
        self,
        frames: np.ndarray,
        *,
        do_convert_rgb: bool | None,
        do_rescale: bool | None,
        rescale_factor: float | None,
        do_normalize: bool | None,
        image_mean: Any,
        image_std: Any,
        device: Any = None,
        **options: Any,
    ) -> torch.Tensor:
        """(frames, height, width, channels) -> (frames, channels, height, width), rescaled and normalised."""
        video = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().to(device)
        if do_convert_rgb and video.shape[1] != 3:
            video = self.convert_to_rgb(video)
        return self.rescale_and_normalize(video, do_rescale, rescale_factor, do_normalize, image_mean, image_std)


__all__ = ["VideoLmmVideoProcessor", "VideoLmmVideosKwargs", "resize_frame"]
