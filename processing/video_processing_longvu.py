# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU's video input: a frame per second, padded to a square and resized for two towers.

Restates https://github.com/Vision-CAIR/LongVU (Apache-2.0): indices and 8-bit frames are equal bit for bit with
`backend="exact"`. A frame is decoded once and resized twice while the clip streams by.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    PILImageResampling,
)
from transformers.processing_utils import Unpack
from transformers.video_utils import VideoMetadata, is_valid_video

from .frame_sampling_longvu import SAMPLING_RULES, rate_indices, thin_evenly
from .video_inputs import ArrayVideo, FrameTransform, VideoSource, accept_videos, stream_frames, unwrapped
from .video_processing_video_lmm import VideoLmmVideoProcessor, VideoLmmVideosKwargs, resize_frame


class LongvuVideoProcessorKwargs(VideoLmmVideosKwargs, total=False):
    """
    size_dinov2 (`dict`, *optional*):
        Height and width of DINOv2's pixels.
    image_mean_dinov2 (`list[float]`, *optional*):
        Mean of DINOv2's normalisation; its 8-bit value fills DINOv2's padding.
    image_std_dinov2 (`list[float]`, *optional*):
        Standard deviation of DINOv2's normalisation.
    sampling (`str`, *optional*):
        A benchmark's rule by name, see `frame_sampling_longvu.SAMPLING_RULES`; overrides `fps`.
    true_aspect (`bool`, *optional*, defaults to `False`):
        Tell the model the size of a video as (width, height), so that it crops the padding.
    select_frames (`Callable`, *optional*):
        Called for each video with a stream of DINOv2's pixels and the number of its frames, answers with the positions
        to keep; only those are decoded again, for both towers. `LongvuProcessor` passes the model's method here.
    """

    size_dinov2: dict[str, int] | None
    image_mean_dinov2: list[float] | tuple[float, ...] | None
    image_std_dinov2: list[float] | tuple[float, ...] | None
    sampling: str | None
    true_aspect: bool | None
    select_frames: Any


# Frames that are held at once while a video is looked at for the first time.
SELECTION_CHUNK = 64

# (stream of (frames, 3, height, width) for DINOv2, frames in all) -> (kept frames,) positions, ascending.
FrameSelection = Callable[[Iterator[torch.Tensor], int], torch.Tensor]


class StillImage(np.ndarray):
    """An image as a video of one frame, (1, height, width, 3); its size is told as an image's."""


def pad_to_square(frame: np.ndarray, mean: Sequence[float]) -> np.ndarray:
    """Centres a (height, width, 3) frame on a square of the mean colour; half a pixel goes to the bottom or right."""
    height, width = frame.shape[:2]
    if height == width:
        return frame
    side = max(height, width)
    square = np.empty((side, side, 3), dtype=frame.dtype)
    square[:] = [int(channel * 255) for channel in mean]
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = frame
    return square


def fit_tower(
    frame: np.ndarray, size: tuple[int, int], mean: Sequence[float], resample: int, backend: str
) -> np.ndarray:
    """What one tower sees of a (height, width, 3) frame: padded, then resized to `size` = (height, width)."""
    return resize_frame(pad_to_square(frame, mean), size, resample, backend)


def fit_towers(frame: np.ndarray, towers: Sequence[FrameTransform]) -> np.ndarray:
    """Every tower's view of a frame, flat and one behind the other, so that a stream of them is one array."""
    if frame.shape[-1] != 3:
        frame = np.asarray(Image.fromarray(frame.squeeze()).convert("RGB"))
    return np.concatenate([fit(frame).ravel() for fit in towers])


# trf-ignore: TRF016, `preprocess` hands the flag to `frame_transforms`, which refuses False.
class LongvuVideoProcessor(VideoLmmVideoProcessor):
    r"""Videos to `pixel_values_videos` and `pixel_values_videos_dinov2`, (frames of all videos, 3, height, width).

    Also gives `num_frames` (videos,) and `video_sizes` (videos, 2). The published weights were trained on the size of
    decoded videos and arrays as (height, width), of animated images and image files as (width, height); both are
    kept, unless `true_aspect`.

    Args:
        size (`dict`, *optional*, defaults to `{"height": 384, "width": 384}`):
            SigLIP's pixels.
        size_dinov2 (`dict`, *optional*, defaults to `{"height": 378, "width": 378}`):
            DINOv2's pixels.
        fps (`float`, *optional*):
            Frames per second, about 1 by default; of arrays without a frame rate every frame is taken.
        num_frames (`int`, *optional*):
            At most this many frames, evenly thinned.
    """

    valid_kwargs = LongvuVideoProcessorKwargs
    model_input_names = ["pixel_values_videos", "pixel_values_videos_dinov2", "num_frames", "video_sizes"]
    resample = PILImageResampling.BICUBIC
    size = {"height": 384, "width": 384}
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    size_dinov2 = {"height": 378, "width": 378}
    image_mean_dinov2 = IMAGENET_DEFAULT_MEAN
    image_std_dinov2 = IMAGENET_DEFAULT_STD
    do_resize = True
    sampling = None
    true_aspect = False

    def sample_frames(
        self,
        metadata: VideoMetadata,
        fps: float | None = None,
        num_frames: int | None = None,
        sampling: str | None = None,
        start: float | None = None,
        end: float | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """Frame indices of one video; at least one.

        Args:
            metadata: frame count, and the frame rate if anything but all frames is asked for.
            fps: frames per second, 1 by default.
            num_frames: at most this many.
            sampling: name of a benchmark's rule.
            start: seconds; nothing before is taken.
            end: seconds; nothing after is taken.

        Raises:
            ValueError: times are asked for but the frame rate is unknown, `start` lies behind the clip, or there is
                no such rule.
        """
        if sampling is not None and sampling not in SAMPLING_RULES:
            raise ValueError(f"sampling must be one of {', '.join(SAMPLING_RULES)}, got {sampling!r}.")
        total, rate = metadata.total_num_frames, metadata.fps
        if rate is None:
            asked = None if fps == self.fps else fps
            if any(value is not None for value in (asked, sampling, start, end)):
                raise ValueError(
                    "`fps`, `sampling`, `start` and `end` need the frame rate of the video, and an array has none. "
                    "Pass `video_metadata=[VideoMetadata(total_num_frames=..., fps=...)]`."
                )
            indices = list(range(total))
        else:
            first = 0 if start is None else max(0, round(start * rate))
            last = total if end is None else min(total, max(first, round(end * rate)) + 1)
            if first >= total:
                raise ValueError(
                    f"`start` is {start} s, but the video has {total} frames at {rate:g} per second: it must be below "
                    f"{total / rate:.2f} s."
                )
            rule = partial(rate_indices, rate=fps or 1.0) if sampling is None else SAMPLING_RULES[sampling]
            indices = [first + index for index in rule(last - first, rate)]
        return indices if num_frames is None else thin_evenly(indices, num_frames)

    def frame_transforms(
        self,
        sizes: Sequence[tuple[int, int]],
        *,
        do_resize: bool,
        size: Any,
        size_dinov2: dict[str, int],
        image_mean: Any,
        image_mean_dinov2: Any,
        resample: int,
        backend: str,
        dinov2_only: bool = False,
        **options: Any,
    ) -> list[FrameTransform]:
        """Padding and resize for both towers, or for DINOv2 alone; videos do not influence each other.

        Raises:
            ValueError: `do_resize` is off.
        """
        if not do_resize:
            raise ValueError("LongVU resizes every frame for two towers: `do_resize` cannot be False.")
        fit = partial(fit_tower, resample=resample, backend=backend)
        towers = [
            partial(fit, size=(size.height, size.width), mean=image_mean),
            partial(fit, size=(size_dinov2["height"], size_dinov2["width"]), mean=image_mean_dinov2),
        ]
        return [partial(fit_towers, towers=towers[1:] if dinov2_only else towers)] * len(sizes)

    def choose_frames(
        self,
        source: VideoSource,
        do_sample_frames: bool | None,
        *,
        select_frames: FrameSelection | None,
        num_sampled_frames: list[int],
        **options: Any,
    ) -> Sequence[int]:
        """Which frames of an opened video to decode: those that are sampled, or of them those that are selected."""
        indices = super().choose_frames(source, do_sample_frames, **options)
        if select_frames is None:
            return indices
        (transform,) = self.frame_transforms([source.size], dinov2_only=True, **options)
        num_sampled_frames.append(len(indices))
        chunks = stream_frames(source, indices, transform, SELECTION_CHUNK)
        kept = select_frames((self.normalize_dinov2(chunk, **options) for chunk in chunks), len(indices))
        return [indices[place] for place in kept.tolist()]

    def normalize_dinov2(
        self,
        frames: np.ndarray,
        *,
        size_dinov2: dict[str, int],
        image_mean_dinov2: Any,
        image_std_dinov2: Any,
        image_mean: Any,
        image_std: Any,
        **options: Any,
    ) -> torch.Tensor:
        """(frames, height * width * 3) for DINOv2 -> (frames, 3, height, width), rescaled and normalised."""
        frames = frames.reshape(-1, size_dinov2["height"], size_dinov2["width"], 3)
        return self.normalize_frames(
            frames, image_mean=tuple(image_mean_dinov2), image_std=tuple(image_std_dinov2), **options
        )

    def preprocess(self, videos: Any, **kwargs: Unpack[LongvuVideoProcessorKwargs]) -> BatchFeature:
        """Samples, pads, resizes and normalises videos.

        Args:
            videos: one video or a (nested) list: path, http(s) URL, bytes, binary file, (frames, height, width, 3)
                array or tensor, list of frames, list of image files.
            kwargs: options; the processor's attributes are the defaults.

        Returns:
            `pixel_values_videos`, `pixel_values_videos_dinov2`, `num_frames`, `video_sizes`; with `select_frames` the
            frames before selection under `num_sampled_frames`; with `return_metadata=True` one [`FrameMetadata`] per
            video under `video_metadata`.

        Raises:
            VideoError: a source that is refused, is no video, or cannot be decoded.
            ValueError: an unknown or inconsistent option.
        """
        options = self.resolve_options(kwargs)
        return_tensors, return_metadata = options.pop("return_tensors"), options.pop("return_metadata")
        videos = accept_videos(videos)
        num_sampled_frames: list[int] = []
        flat, metadata = self.read_videos(videos, num_sampled_frames=num_sampled_frames, **options)
        frames = np.concatenate(flat)
        shape = (options["size"].height, options["size"].width, 3)
        split = int(np.prod(shape))
        data = {
            "pixel_values_videos": self.normalize_frames(frames[:, :split].reshape(-1, *shape), **options),
            "pixel_values_videos_dinov2": self.normalize_dinov2(frames[:, split:], **options),
            "num_frames": torch.tensor([len(video) for video in flat]),
            "video_sizes": torch.tensor(
                [self.crop_size_of(*pair, **options) for pair in zip(videos, metadata, strict=True)]
            ),
        }
        if num_sampled_frames:
            data["num_sampled_frames"] = torch.tensor(num_sampled_frames)
        data = BatchFeature(data, tensor_type=return_tensors)
        if return_metadata:
            data["video_metadata"] = metadata
        return data

    def crop_size_of(
        self,
        video: Any,
        metadata: VideoMetadata,
        *,
        true_aspect: bool | None,
        input_data_format: Any = None,
        **options: Any,
    ) -> tuple[int, int]:
        """The size that the model's crop is given for one video, in the order that training gave it."""
        video, codec = unwrapped(video), getattr(metadata, "codec", None)
        image_files = metadata.video_backend == "pillow" and codec is None
        still = isinstance(video, StillImage) or image_files or codec == "gif"
        if is_valid_video(video):
            height, width = ArrayVideo(video, metadata, self.is_channels_first(video, input_data_format)).size
        else:
            height, width = metadata.height, metadata.width
        return (width, height) if still or true_aspect else (height, width)


__all__ = ["LongvuVideoProcessor", "LongvuVideoProcessorKwargs", "StillImage", "fit_tower", "pad_to_square"]
