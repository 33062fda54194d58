# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""What a user may hand in as a video, brought to one shape: metadata first, frames as a stream on demand.

| form | what it becomes |
| --- | --- |
| path, bytes, binary file, http(s) URL, URL of an object store | `FileVideo` |
| animated WebP in any of these | `AnimationVideo` (FFmpeg reads still WebP only) |
| list of image files, folder of image files | `ImageFilesVideo` |
| array (frames, height, width, channels), list of PIL images or of frames | `ArrayVideo` |
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.video_utils import VideoMetadata, is_valid_video

from .video_errors import VideoError, VideoLimits, VideoSourceError
from .video_fetch import fetch
from .video_images import AnimationFile, image_files, image_size, is_image_name, is_webp, read_image
from .video_reader import VideoReader


# (height, width, channels) -> the same; applied to each frame as it streams by.
FrameTransform = Callable[[np.ndarray], np.ndarray]


class VideoPayload(str):
    """A video that is not a plain string: a path object, raw bytes, an open binary file, paths of its frames.

    transformers takes every video that is neither an array nor a list for a string, so the payload travels inside
    one. `start` and `end`, in seconds, are those of this video alone.
    """

    payload: Any
    start: float | None
    end: float | None

    def __new__(cls, payload: Any, start: float | None = None, end: float | None = None) -> "VideoPayload":
        named = isinstance(payload, (str, os.PathLike))
        video = super().__new__(cls, os.fspath(payload) if named else f"<{type(payload).__name__}>")
        video.payload, video.start, video.end = payload, start, end
        return video

    def __deepcopy__(self, memo: dict) -> "VideoPayload":
        # Call arguments are deep-copied on their way; an open file cannot be, and bytes need not be.
        return self

    @property
    def trimming(self) -> dict[str, float]:
        """The options `start` and `end`, where this video has its own."""
        return {name: value for name, value in (("start", self.start), ("end", self.end)) if value is not None}


@dataclass
class FrameMetadata(VideoMetadata):
    """[`VideoMetadata`] with true presentation times and the codec.

    Attributes:
        frame_times: seconds of each sampled frame, from the first shown frame; right for variable frame rates too.
        codec: codec name as FFmpeg gives it, None for arrays and image files.
        variable_rate: whether the gaps between frames differ, so that number / `fps` is not the time.
        decode_seconds: time that decoding and conversion to RGB took.
    """

    frame_times: list[float] | None = None
    codec: str | None = None
    variable_rate: bool = False
    decode_seconds: float | None = None

    @property
    def timestamps(self) -> list[float]:
        return super().timestamps if self.frame_times is None else self.frame_times


def accept_videos(videos: Any) -> list[Any]:
    """Every video of a call, as a flat list of what transformers accepts: strings, [`VideoPayload`], 4-D arrays.

    Args:
        videos: one video in any form, or a nested list, in which forms may mix. A list of PIL images or 3-D arrays is
            one video; so is a list of names that all end like an image's, and any list of names three lists deep.
    """
    return list(_flattened(videos, depth=0))


def accept_video(video: Any, start: float | None = None, end: float | None = None) -> Any:
    """One video in any form, as transformers accepts it.

    Args:
        video: see the table at the head of this file; a list of names is a list of image files.
        start: seconds; frames of this video before are not sampled.
        end: seconds; frames of this video after are not sampled.

    Raises:
        VideoSourceError: a list that is empty, or of frames that do not make a video.
    """
    if isinstance(video, (list, tuple)) and _are_names(video):
        video = VideoPayload(tuple(video))
    elif isinstance(video, (list, tuple)):
        found = accept_videos(video)
        if len(found) != 1:
            raise VideoSourceError(f"a list given as one video must hold its frames; got {len(found)} videos.")
        (video,) = found
    elif not isinstance(video, str):
        (video,) = accept_videos(video)
    if start is None and end is None:
        return video
    return VideoPayload(getattr(video, "payload", video), start, end)


def unwrapped(video: Any) -> Any:
    """The array inside a [`VideoPayload`] that carries one; everything else as it is."""
    payload = getattr(video, "payload", None)
    return payload if is_valid_video(payload) else video


def _flattened(videos: Any, depth: int) -> Iterator[Any]:
    if isinstance(videos, (list, tuple)):
        if videos and all(_is_frame(frame) for frame in videos):
            yield _stacked(videos)
        elif _are_names(videos) and (depth > 1 or all(is_image_name(name) for name in videos)):
            yield VideoPayload(tuple(videos))
        else:
            for video in videos:
                yield from _flattened(video, depth + 1)
    elif isinstance(videos, (np.ndarray, torch.Tensor)) and videos.ndim == 5:
        yield from videos
    elif _is_frame(videos):
        yield _stacked([videos])
    elif isinstance(videos, (bytes, bytearray, os.PathLike)) or hasattr(videos, "readinto"):
        yield VideoPayload(videos)
    else:
        yield videos


def _are_names(videos: Sequence[Any]) -> bool:
    names = all(isinstance(name, (str, os.PathLike)) and not isinstance(name, VideoPayload) for name in videos)
    return bool(videos) and names


def _is_frame(value: Any) -> bool:
    return isinstance(value, Image.Image) or (isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == 3)


def _stacked(frames: Sequence[Any]) -> np.ndarray:
    arrays = [_pixels(frame) for frame in frames]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise VideoSourceError(f"the frames of a video must have one size; got {shapes[0]} and {shapes[-1]}.")
    return np.stack(arrays)


def _pixels(frame: Any) -> np.ndarray:
    if isinstance(frame, Image.Image) and frame.mode not in ("RGB", "RGBA"):
        frame = frame.convert("RGB")
    return np.asarray(frame)


class ArrayVideo:
    """A decoded video: (frames, height, width, channels), or channels before height."""

    def __init__(self, array: np.ndarray | torch.Tensor, metadata: VideoMetadata, channels_first: bool):
        self.array, self.metadata, self.channels_first = array, metadata, channels_first

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return tuple(self.array.shape[2:4] if self.channels_first else self.array.shape[1:3])

    def frames(
        self, indices: Sequence[int], transform: FrameTransform, decoder_size: tuple[int, int] | None = None
    ) -> np.ndarray:
        chosen = np.asarray(self.array[list(indices)])
        if self.channels_first:
            chosen = np.moveaxis(chosen, 1, -1)
        return np.stack([transform(frame) for frame in chosen])


class ImageFilesVideo:
    """A video given as the paths of its frames, in order; without a frame rate unless the caller states one."""

    def __init__(self, paths: Sequence[Any], metadata: VideoMetadata | None, limits: VideoLimits | None = None):
        self.paths, self.limits = paths, limits or VideoLimits()
        self.size = image_size(paths[0], self.limits)
        fps = None if metadata is None else metadata.fps
        self.metadata = FrameMetadata(
            total_num_frames=len(paths),
            fps=fps,
            height=self.size[0],
            width=self.size[1],
            duration=len(paths) / fps if fps else None,
            video_backend="pillow",
        )

    def frames(
        self, indices: Sequence[int], transform: FrameTransform, decoder_size: tuple[int, int] | None = None
    ) -> np.ndarray:
        distinct = dict.fromkeys(indices)
        for index in distinct:
            distinct[index] = transform(read_image(self.paths[index], self.limits))
        shapes = sorted({image.shape for image in distinct.values()})
        if len(shapes) > 1:
            raise VideoError(f"image files of one video have several sizes: {shapes[0]} and {shapes[-1]}.")
        return np.stack([distinct[index] for index in indices])


class AnimationVideo:
    """An animated WebP."""

    def __init__(self, animation: AnimationFile):
        self.animation, self.size = animation, animation.size
        times = animation.times
        steady = len({round(after - before, 3) for before, after in zip(times, times[1:], strict=False)}) < 2
        self.metadata = FrameMetadata(
            total_num_frames=len(times),
            fps=len(times) / animation.duration,
            height=animation.size[0],
            width=animation.size[1],
            duration=animation.duration,
            video_backend="pillow",
            codec="webp",
            variable_rate=not steady,
        )

    def frames(
        self, indices: Sequence[int], transform: FrameTransform, decoder_size: tuple[int, int] | None = None
    ) -> np.ndarray:
        self.metadata.frame_times = [self.animation.times[index] for index in indices]
        distinct = {index: transform(frame) for index, frame in self.animation.frames(indices)}
        return np.stack([distinct[index] for index in indices])


class FileVideo:
    """A video file, decoded while it is asked for frames."""

    def __init__(self, reader: VideoReader):
        info = reader.info
        self.reader = reader
        self.size = (info.height, info.width)
        self.metadata = FrameMetadata(
            total_num_frames=info.num_frames,
            fps=float(info.fps),
            width=info.width,
            height=info.height,
            duration=float(info.duration),
            video_backend="pyav",
            codec=info.codec,
            variable_rate=info.is_vfr,
        )

    def frames(
        self, indices: Sequence[int], transform: FrameTransform, decoder_size: tuple[int, int] | None = None
    ) -> np.ndarray:
        self.metadata.frame_times = self.reader.times_of(indices)
        resize = None if decoder_size is None else decoder_size[::-1]
        frames = self.reader.read(indices, resize=resize, transform=transform)
        self.metadata.decode_seconds = self.reader.decode_seconds
        return frames


VideoSource = ArrayVideo | ImageFilesVideo | AnimationVideo | FileVideo


def stream_frames(
    source: VideoSource, indices: Sequence[int], transform: FrameTransform, chunk: int
) -> Iterator[np.ndarray]:
    """An opened video's frames, at most `chunk` at a time, each after `transform`; indices ascend."""
    if isinstance(source, FileVideo):
        for _, frames, _ in source.reader.frames_at(indices, transform=transform, chunk=chunk):
            yield frames
        return
    for first in range(0, len(indices), chunk):
        yield source.frames(indices[first : first + chunk], transform)


@contextmanager
def open_video(
    video: Any, metadata: VideoMetadata | None, channels_first: bool, limits: VideoLimits | None = None
) -> Iterator[VideoSource]:
    """Opens one entry of a batch of videos.

    Args:
        video: array (4-D), path, URL, or [`VideoPayload`].
        metadata: what is known of an array or of image files.
        channels_first: layout of an array.
        limits: sizes beyond which to refuse, and which URLs to open.

    Raises:
        VideoError: a subclass says whether the source is refused, is no video, or cannot be decoded.
    """
    if is_valid_video(video):
        yield ArrayVideo(video, metadata, channels_first)
        return
    if not isinstance(video, str):
        raise VideoSourceError(
            f"A video must be a path, URL, bytes, binary file, array (frames, height, width, 3), list of frames, list "
            f"or folder of image files, got {type(video).__name__}."
        )
    payload = getattr(video, "payload", video)
    if isinstance(payload, tuple):
        yield ImageFilesVideo(payload, metadata, limits)
    elif isinstance(payload, (str, os.PathLike)) and os.path.isdir(payload):
        yield ImageFilesVideo(image_files(payload, limits), metadata, limits)
    else:
        with fetch(payload, limits) as source:
            if is_webp(source):
                with AnimationFile(source, limits) as animation:
                    yield AnimationVideo(animation)
            else:
                with VideoReader.open(source, limits=limits) as reader:
                    yield FileVideo(reader)


__all__ = [
    "AnimationVideo",
    "ArrayVideo",
    "FileVideo",
    "FrameMetadata",
    "FrameTransform",
    "ImageFilesVideo",
    "VideoPayload",
    "VideoSource",
    "accept_video",
    "accept_videos",
    "open_video",
    "stream_frames",
    "unwrapped",
]
