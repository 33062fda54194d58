# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Apollo's video input: clips placed over the video, each frame once per tower.

Placement and pixels are equal to the original's, bit for bit with `backend="exact"`; frames pass through both pixel
chains while they are decoded, so the full-size clip is never in memory.
"""

import re
from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    PILImageResampling,
)
from transformers.processing_utils import Unpack
from transformers.utils import logging
from transformers.video_utils import VideoMetadata, make_batched_videos

from .chat_templates_apollo import video_preamble
from .frame_sampling_apollo import ClipPlan, clip_indices, clip_times, count_clips
from .image_processing_apollo import TwoTowerFrame
from .video_inputs import FrameTransform, accept_videos
from .video_processing_video_lmm import VideoLmmVideoProcessor, VideoLmmVideosKwargs


logger = logging.get_logger(__name__)

# What transformers assumes of arrays, too.
ASSUMED_FPS = 24.0


class ApolloVideoProcessorKwargs(VideoLmmVideosKwargs, total=False):
    """
    clip_duration (`int` or `float`, *optional*, defaults to 2):
        Seconds of a clip.
    frames_per_clip (`int`, *optional*, defaults to 4):
        Frames sampled from a clip.
    clip_sampling_ratio (`float`, *optional*, defaults to 0.65):
        Share of the context that the videos of a prompt may take together.
    tokens_per_clip (`int`, *optional*, defaults to 128):
        What a clip costs; fixed by the model.
    context_length (`int`, *optional*, defaults to 16384):
        Tokens that fit into the context.
    internvideo2_size (`int`, *optional*, defaults to 224):
        Side of InternVideo2's frames; `size` is SigLIP's.
    internvideo2_mean (`list[float]`, *optional*):
        Its mean; also the colour of its padding. `image_mean` is SigLIP's.
    internvideo2_std (`list[float]`, *optional*):
        Its standard deviation.
    return_video_grid (`bool`, *optional*, defaults to `False`):
        Whether to tell each video's clips under `video_grid_thw` too, by which serving engines assign rows to videos.
    """

    clip_duration: float | int
    frames_per_clip: int
    clip_sampling_ratio: float | int
    tokens_per_clip: int
    context_length: int
    internvideo2_size: int
    internvideo2_mean: list[float] | tuple[float, ...]
    internvideo2_std: list[float] | tuple[float, ...]
    return_video_grid: bool


def frame_rate(metadata: VideoMetadata) -> float:
    """Frames per second; arrays have none, and 24 is assumed with a warning."""
    if metadata.fps is not None:
        return metadata.fps
    logger.warning_once(
        f"The frame rate of a video is unknown; {ASSUMED_FPS:g} per second is assumed. The clips' times in the prompt "
        "depend on it: pass `video_metadata=[VideoMetadata(total_num_frames=..., fps=...)]`."
    )
    return ASSUMED_FPS


def even_choice(clip: list[int], count: int) -> list[int]:
    """`count` entries of a clip, evenly spaced."""
    return [clip[position * len(clip) // count] for position in range(count)]


# trf-ignore: TRF016, `preprocess` hands the flag to `frame_transforms`, which obeys it.
class ApolloVideoProcessor(VideoLmmVideoProcessor):
    r"""Videos to clips for both towers, with the number of clips of each video.

    The videos of one call share the context in equal parts; [`ApolloProcessor`] makes one call per prompt. Options:
    see [`ApolloVideoProcessorKwargs`].
    """

    valid_kwargs = ApolloVideoProcessorKwargs
    model_input_names = ["pixel_values_videos", "pixel_values_videos_internvideo2", "num_clips"]
    resample = PILImageResampling.BICUBIC
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    size = {"height": 384, "width": 384}
    default_to_square = True
    do_resize = True
    internvideo2_size = 224
    internvideo2_mean = IMAGENET_DEFAULT_MEAN
    internvideo2_std = IMAGENET_DEFAULT_STD
    clip_duration = 2
    frames_per_clip = 4
    clip_sampling_ratio = 0.65
    tokens_per_clip = 128
    context_length = 16384
    return_video_grid = False

    def clip_plan(self, **options: Any) -> ClipPlan:
        """The placement's parameters: this processor's own where the call gives none."""
        return ClipPlan(*(options.get(name, getattr(self, name)) for name in ClipPlan._fields))

    def num_clips(self, metadata: VideoMetadata, num_videos: int = 1) -> int:
        """Clips of a video, from its metadata alone.

        Args:
            metadata: frame count and frame rate.
            num_videos: videos that share the prompt.
        """
        plan = self.clip_plan(**self.sampling_options(num_videos))
        return count_clips(metadata.total_num_frames, frame_rate(metadata), plan)

    def num_text_tokens(self, metadata: VideoMetadata, frames_indices: Sequence[int]) -> int:
        """Length of the preamble: a token per word, digit, punctuation mark and line break."""
        clips = len(frames_indices) // self.frames_per_clip
        text = self.preamble(metadata, frames_indices, clips, self.clip_duration, "")
        return len(re.findall(r"\d|[^\W\d]+|[^\w\s]|\n", text))

    @staticmethod
    def preamble(
        metadata: VideoMetadata, frames_indices: Sequence[int], num_clips: int, clip_duration: float, tokens: str
    ) -> str:
        """The text that stands for a video in the prompt.

        Args:
            metadata: frame count and frame rate.
            frames_indices: of all clips, equally many each.
            num_clips: number of clips.
            clip_duration: seconds of a clip.
            tokens: placeholders of one clip.
        """
        rate, per_clip = frame_rate(metadata), len(frames_indices) // num_clips
        clips = [frames_indices[at : at + per_clip] for at in range(0, len(frames_indices), per_clip)]
        return video_preamble(clip_times(clips, rate), metadata.total_num_frames / rate, clip_duration, tokens)

    def sampling_options(self, num_videos: int = 1, **kwargs: Unpack[ApolloVideoProcessorKwargs]) -> dict[str, Any]:
        """As inherited; the videos of a prompt take their share of the context in equal parts."""
        options = super().sampling_options(num_videos, **kwargs)
        options["clip_sampling_ratio"] /= num_videos
        return options

    def sample_frames(
        self,
        metadata: VideoMetadata,
        num_frames: int | None = None,
        fps: float | None = None,
        start: float | None = None,
        end: float | None = None,
        every_frame: bool = False,
        **options: Any,
    ) -> list[int]:
        """Frame indices of one video, clip after clip, `frames_per_clip` each.

        Args:
            metadata: frame count and frame rate.
            num_frames: frames to take instead of what duration and context give; rounded to whole clips, never more
                clips than fit into the video's share of the context.
            fps: frames to take per second of video, likewise.
            start: seconds; nothing before is taken.
            end: seconds; nothing after is taken.
            every_frame: take all frames as they are; the last is repeated up to a whole clip.
            options: of the call; those of [`ClipPlan`] are read.

        Raises:
            ValueError: `fps`, `start` or `end` is given but the frame rate is unknown, or nothing lies between `start`
                and `end`.
        """
        plan, total = self.clip_plan(**options), metadata.total_num_frames
        if every_frame:
            missing = -total % plan.frames_per_clip
            return [*range(total), *[total - 1] * missing]
        if metadata.fps is None and (fps, start, end) != (None, None, None):
            raise ValueError(
                "`fps`, `start` and `end` need the frame rate of the video, and an array has none. Pass "
                "`video_metadata=[VideoMetadata(total_num_frames=..., fps=...)]`."
            )
        rate = frame_rate(metadata)
        first = 0 if start is None else max(0, round(start * rate))
        last = total - 1 if end is None else min(total - 1, round(end * rate))
        if first > last:
            raise ValueError(
                f"Nothing to sample between start={start} s and end={end} s: the video has {total} frames at {rate:g} "
                f"per second, so it lasts {total / rate:.2f} s."
            )
        length = last - first + 1
        clips = count_clips(length, rate, plan)
        if fps is not None:
            num_frames = length / rate * fps
        if num_frames is not None:
            fitting = ceil(plan.context_length * plan.clip_sampling_ratio / plan.tokens_per_clip)
            clips = max(1, min(round(num_frames / plan.frames_per_clip), fitting))
        placed = clip_indices(length, rate, clips, plan)
        return [first + index for clip in placed for index in even_choice(clip, plan.frames_per_clip)]

    def frame_transforms(
        self,
        sizes: Sequence[tuple[int, int]],
        *,
        do_resize: bool,
        size: Any,
        resample: int,
        backend: str,
        image_mean: Sequence[float],
        internvideo2_size: int,
        internvideo2_mean: Sequence[float],
        **options: Any,
    ) -> list[FrameTransform]:
        """Both towers' pixel chains; every frame is planned alone."""
        transform = TwoTowerFrame(
            siglip_size=(size.height, size.width) if do_resize else None,
            internvideo2_size=internvideo2_size if do_resize else None,
            siglip_mean=image_mean,
            internvideo2_mean=internvideo2_mean,
            resample=resample,
            backend=backend,
        )
        return [transform] * len(sizes)

    def preprocess(self, videos: Any, **kwargs: Unpack[ApolloVideoProcessorKwargs]) -> BatchFeature:
        """Places clips, samples, pads, resizes and normalises.

        Args:
            videos: one video or a (nested) list, in every form that [`VideoLmmVideoProcessor.preprocess`] takes.
            kwargs: options; the processor's attributes are the defaults. With `do_sample_frames=False` every frame is
                taken, `frames_per_clip` to a clip.

        Returns:
            `pixel_values_videos` (clips of all videos, frames, 3, 384, 384) for SigLIP,
            `pixel_values_videos_internvideo2` (clips, frames, 3, 224, 224) for InternVideo2 and `num_clips` (videos,);
            with `return_video_grid=True` also `video_grid_thw` (videos, 3), the clips of each and two ones; with
            `return_metadata=True` one [`VideoMetadata`] per video under `video_metadata`.

        Raises:
            VideoError: a source that is refused, is no video, or cannot be decoded.
            ValueError: an unknown or inconsistent option, or frames that are not 8-bit.
        """
        videos = make_batched_videos(accept_videos(videos))
        options = self.sampling_options(len(videos), **kwargs)
        return_tensors, return_metadata = options.pop("return_tensors"), options.pop("return_metadata")
        options["every_frame"] = not options.pop("do_sample_frames")
        frames, metadata = self.read_videos(videos, do_sample_frames=True, **options)
        per_clip = options["frames_per_clip"]
        clips = [video[at : at + per_clip] for video in frames for at in range(0, len(video), per_clip)]
        data = {
            "pixel_values_videos": [self.normalize_frames(clip["siglip"], **options) for clip in clips],
            "pixel_values_videos_internvideo2": self.internvideo2_clips(clips, **options),
            "num_clips": [len(video) // per_clip for video in frames],
        }
        if options["return_video_grid"]:
            data["video_grid_thw"] = [[clips, 1, 1] for clips in data["num_clips"]]
        data = BatchFeature(data, tensor_type=return_tensors)
        if return_metadata:
            data["video_metadata"] = metadata
        return data

    def internvideo2_clips(
        self,
        clips: list[np.ndarray],
        *,
        internvideo2_mean: Sequence[float],
        internvideo2_std: Sequence[float],
        **options: Any,
    ) -> list[torch.Tensor]:
        """Clips of records to (frames, 3, V, V) each."""
        options |= {"image_mean": tuple(internvideo2_mean), "image_std": tuple(internvideo2_std)}
        return [self.normalize_frames(clip["internvideo2"], **options) for clip in clips]


__all__ = ["ApolloVideoProcessor"]
