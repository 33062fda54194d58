# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Streaming video reader: exact frames with their presentation times, a few full-size frames in memory at most.

Frame `i` is the i-th frame a player shows. It is found by its time stamp in an index made from packets, never by a
frame count from a header; where that cannot work the clip is decoded once from the start and counted.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from math import isnan
from time import perf_counter
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple
from weakref import WeakSet

import av
import numpy as np

from .video_decoder import ClipDecoder
from .video_errors import VideoError, VideoFrameIndexError, VideoLimitError, VideoLimits
from .video_index import FrameIndex, duration, fallback_rate, frame_rate, is_variable_rate, local_source, missing_end
from .video_painter import Painter, orientation
from .video_plan import Plan, frame_numbers, plan_reads
from .video_prefetch import run_ahead


FrameTransform = Callable[[np.ndarray], np.ndarray]

_HDR_TRANSFERS = (16, 18)  # SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG)
_RATE_TOLERANCE = 0.05
_SHARED_FROM = 4  # seeks of a request from which a second decoder pays for being opened
_SOME = 5  # frame numbers named in a warning


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a clip.

    Attributes:
        num_frames: frames shown.
        fps: mean rate over the shown frames.
        duration: seconds from the first shown frame to the end of the last.
        width, height: pixels, after rotation.
        rotation: quarter turns in degrees, counter-clockwise, that the stored picture needs: 0, 90, 180 or 270.
        mirrored: whether it is also mirrored, left to right, before it is turned.
        codec: name of the codec, such as `"h264"`.
        pixel_format: FFmpeg's name of the stored pixel format.
        is_vfr: whether the rate varies.
        stated_fps: average rate in the container's header, which may be wrong; None when it states none.
        warnings: what was odd about the clip, with what reading has found so far.
    """

    num_frames: int
    fps: Fraction
    duration: float
    width: int
    height: int
    rotation: int
    codec: str
    pixel_format: str
    is_vfr: bool
    stated_fps: Fraction | None = None
    mirrored: bool = False
    warnings: tuple[str, ...] = ()


# All readers of this process, and what it inherited from the process that it was forked from. Decoders and converters
# have threads, which do not survive a fork: whoever frees them in the child waits for those threads for ever.
_living: WeakSet[VideoReader] = WeakSet()
_inherited: list[Any] = []


def _keep_what_is_inherited() -> None:
    _inherited.extend((reader._decoder, reader._twin, reader._painter) for reader in _living)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_what_is_inherited)


class _Request(NamedTuple):
    numbers: list[int]
    plan: Plan
    size: tuple[int, int]
    resized: bool
    transform: FrameTransform | None


class VideoReader:
    """Reads frames of one clip by number. Not thread-safe: open one reader per thread and per process.

    Example:
        with VideoReader.open("clip.mp4") as reader:
            frames = reader.read([0, 10, 20])

    Attributes:
        index: the clip's frame index.
    """

    def __init__(self, decoder: ClipDecoder, *, rotate: bool, limits: VideoLimits) -> None:
        """Use `VideoReader.open`."""
        self.index: FrameIndex = decoder.index
        self._decoder = decoder
        self._twin: ClipDecoder | None = None
        self._name = decoder.source.name
        self._painter = Painter(self._name, rotate)
        self._size_changed = False
        self._paint_seconds = 0.0
        self._limits = limits
        self._info: VideoInfo | None = None
        _living.add(self)

    @classmethod
    def open(
        cls,
        source: str | os.PathLike | bytes | BinaryIO,
        *,
        threads: str | int = "auto",
        rotate: bool = True,
        limits: VideoLimits | None = None,
    ) -> VideoReader:
        """Opens a clip and indexes its packets.

        Args:
            source: path of a local file, the bytes of a clip, or a seekable binary file object, the caller's to close.
            threads: of a decoder; "auto" takes up to four, and one inside a DataLoader worker. With more than one, a
                request that seeks often is shared with a second decoder.
            rotate: whether to turn frames the way the clip's display matrix says, as players do.
            limits: sizes beyond which to refuse; the defaults suit hours of video.

        Returns:
            The reader. No frame has been decoded, except for clips whose frames must be counted by decoding.

        Raises:
            VideoError: a subclass says whether the source is unusable (`VideoSourceError`), holds no video that can be
                read (`VideoOpenError`), is too damaged to be counted (`VideoDecodeError`) or exceeds a limit.
        """
        if threads != "auto" and (not isinstance(threads, int) or threads < 1):
            raise VideoError(f'threads is "auto" or a number from 1 up; got {threads!r}.')
        limits = VideoLimits.of(limits)
        decoder = ClipDecoder(local_source(source, limits), limits, None if threads == "auto" else threads)
        return cls(decoder, rotate=rotate, limits=limits)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.index)

    def close(self) -> None:
        """Frees the decoder and the file. Calling it twice is harmless; a file object of the caller stays open."""
        for decoder in self._opened:
            decoder.close()

    @property
    def _opened(self) -> list[ClipDecoder]:
        return [self._decoder] if self._twin is None else [self._decoder, self._twin]

    @property
    def decoded_frames(self) -> int:
        """Frames the decoders have given so far, wanted or not."""
        return sum(decoder.decoded_frames for decoder in self._opened)

    @property
    def decode_seconds(self) -> float:
        """Time spent on decoding and on conversion to RGB so far; the two overlap."""
        return sum(decoder.decode_seconds for decoder in self._opened) + self._paint_seconds

    @property
    def info(self) -> VideoInfo:
        """Facts about the clip. The first access decodes one frame, since rotation is stored beside the frames."""
        if self._info is None:
            self._info = self._describe()
        return replace(self._info, warnings=(*self._info.warnings, *self._reading_warnings()))

    def time_of(self, frame: int) -> float:
        """Presentation time of a frame, in seconds after the first shown frame; see `times_of`."""
        return self.times_of([frame])[0]

    def times_of(self, indices: Iterable[int]) -> list[float]:
        """Presentation times of frames, in seconds after the first shown frame, in the order asked.

        Raises:
            VideoFrameIndexError: when a frame lies outside the clip.
        """
        return [self.index.seconds(number) for number in frame_numbers(indices, len(self.index))]

    def index_at(self, seconds: float) -> int:
        """Number of the frame on screen at a time: the last frame whose time is at most `seconds`.

        Raises:
            VideoFrameIndexError: for negative times and NaN. Times after the end give the last frame.
        """
        if isnan(seconds) or seconds < 0:
            raise VideoFrameIndexError(f"a time in the clip is 0 or more seconds; got {seconds!r}.")
        return bisect_right(range(len(self.index)), seconds, key=self.index.seconds) - 1

    def plan(self, indices: Iterable[int]) -> Plan:
        """How a request would be read: seeks and decoded frames. Nothing is read.

        Raises:
            VideoFrameIndexError: when a frame lies outside the clip.
        """
        return plan_reads(self.index, indices)

    def frames_at(
        self,
        indices: Iterable[int],
        *,
        resize: tuple[int, int] | None = None,
        transform: FrameTransform | None = None,
        chunk: int = 8,
    ) -> Iterator[tuple[list[int], np.ndarray, list[float]]]:
        """Streams frames in time order, each distinct one decoded once.

        Args:
            indices: frame numbers, in any order, repeats allowed.
            resize: (width, height) in pixels, after rotation; bilinear swscale, as decord resizes.
            transform: applied to every (height, width, 3) uint8 RGB frame as it streams by; all results must have one
                shape and dtype.
            chunk: frames per chunk.

        Returns:
            An iterator of `(positions, frames, times)`: where in `indices` each frame belongs; the frames, at most
            `chunk`, as a (k, height, width, 3) uint8 RGB array or as what `transform` gives; and their times in
            seconds after the first shown frame.

        Raises:
            VideoFrameIndexError: when a frame lies outside the clip.
            VideoLimitError: when too many frames would have to be decoded.
            VideoDecodeError: when the clip is too damaged to go on.
            VideoStateError: when another read begins before this one ends, or the reader may not be used.
        """
        if chunk < 1:
            raise VideoError(f"chunk is a number of frames from 1 up; got {chunk}.")
        return self._chunks(self._request(indices, resize, transform), chunk)

    def read(
        self,
        indices: Iterable[int],
        *,
        resize: tuple[int, int] | None = None,
        transform: FrameTransform | None = None,
    ) -> np.ndarray:
        """Reads frames into one array, in the order asked.

        Args and errors are those of `frames_at`; the array's size is limited too (`VideoLimitError`).

        Returns:
            A (n, height, width, 3) uint8 RGB array, or what `transform` makes of the frames.
        """
        request = self._request(indices, resize, transform)
        out: np.ndarray | None = None
        for positions, image, _ in self._images(request):
            if out is None:
                out = self._allocated(len(request.numbers), image)
            out[positions] = self._fitting(image, out)
        return np.empty((0, *request.size[::-1], 3), np.uint8) if out is None else out

    def _request(
        self, indices: Iterable[int], resize: tuple[int, int] | None, transform: FrameTransform | None
    ) -> _Request:
        self._decoder.check_usable()
        numbers = frame_numbers(indices, len(self.index))
        plan = plan_reads(self.index, numbers)
        if plan.decoded_frames > self._limits.decoded_frames:
            raise VideoLimitError(
                f"{self._name}: {plan.decoded_frames:,} frames would be decoded; at most "
                f"{self._limits.decoded_frames:,} are allowed. Ask for fewer frames or cut the clip."
            )
        info = self.info  # now, since getting it later would end the read
        width, height = resize or (info.width, info.height)
        if width < 1 or height < 1 or width * height > self._limits.pixels:
            raise VideoLimitError(
                f"resize is (width, height) from (1, 1) up to {self._limits.pixels:,} pixels; got {resize!r}."
            )
        return _Request(numbers, plan, (int(width), int(height)), resize is not None, transform)

    def _images(self, request: _Request) -> Iterator[tuple[list[int], np.ndarray, float]]:
        """Yields every distinct frame once: where it belongs in the request, the image, its time."""
        places: dict[int, list[int]] = {}
        for place, number in enumerate(request.numbers):
            places.setdefault(number, []).append(place)
        for number, frame in self._decoded(request.plan):
            start = perf_counter()
            self._size_changed |= not request.resized and self._painter.upright_size(frame) != request.size
            image = self._painter.paint(frame, request.size)
            del frame
            self._paint_seconds += perf_counter() - start
            if request.transform is not None:
                image = request.transform(image)
            yield places[number], image, self.index.seconds(number)

    def _decoded(self, plan: Plan) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames in time order. Each is decoded while the one before it is converted and transformed; where a plan
        seeks often, two decoders take its stretches in turn, because every seek empties the threads of one."""
        shared = plan.seeks >= _SHARED_FROM and self._decoder.threads > 1
        if shared and self._twin is None:
            self._twin = self._decoder.twin()
        decoders = self._opened if shared else [self._decoder]
        shares = [Plan(plan.runs[first :: len(decoders)], plan.linear) for first in range(len(decoders))]
        with ExitStack() as stack:
            streams = [
                stack.enter_context(closing(run_ahead(decoder.frames(share), depth=int(decoder.threads > 1))))
                for decoder, share in zip(decoders, shares, strict=True)
            ]
            for turn, run in enumerate(plan.runs):
                yield from islice(streams[turn % len(streams)], len(run.targets))

    def _chunks(self, request: _Request, chunk: int) -> Iterator[tuple[list[int], np.ndarray, list[float]]]:
        left = len(request.numbers)
        frames: np.ndarray | None = None
        positions: list[int] = []
        times: list[float] = []
        for places, image, time in self._images(request):
            for place in places:
                if frames is None:
                    frames = np.empty((min(chunk, left), *image.shape), image.dtype)
                frames[len(positions)] = self._fitting(image, frames)
                positions.append(place)
                times.append(time)
                if len(positions) == len(frames):
                    left -= len(positions)
                    yield positions, frames, times
                    frames, positions, times = None, [], []

    def _allocated(self, count: int, image: np.ndarray) -> np.ndarray:
        size = count * image.nbytes
        if size > self._limits.output_bytes:
            raise VideoLimitError(
                f"{self._name}: {count} frames of shape {image.shape} need {size:,} bytes; at most "
                f"{self._limits.output_bytes:,} are allowed. Ask for fewer frames, resize, or use frames_at."
            )
        return np.empty((count, *image.shape), image.dtype)

    def _fitting(self, image: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if image.shape != rows.shape[1:] or image.dtype != rows.dtype:
            raise VideoError(
                f"{self._name}: the transform gave {image.dtype} {image.shape} after {rows.dtype} "
                f"{rows.shape[1:]}; it must give every frame one shape and dtype."
            )
        return image

    def _describe(self) -> VideoInfo:
        frame = self._decoder.first_frame()
        stream, index = self._decoder.stream, self.index
        width, height = self._painter.upright_size(frame)
        turned = orientation(frame)
        rate = frame_rate(index, fallback_rate(stream, stamped=True))
        stated = Fraction(stream.average_rate) if stream.average_rate else None
        return VideoInfo(
            num_frames=len(index),
            fps=rate,
            duration=float(duration(index, rate)),
            width=width,
            height=height,
            rotation=turned.turns * 90,
            mirrored=turned.mirrored,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=frame.format.name,
            is_vfr=is_variable_rate(index),
            stated_fps=stated,
            warnings=tuple(self._clip_warnings(frame, rate, stated)),
        )

    def _clip_warnings(self, frame: av.VideoFrame, rate: Fraction, stated: Fraction | None) -> Iterator[str]:
        yield from self.index.warnings
        if stated and not self.index.linear and abs(rate - stated) > _RATE_TOLERANCE * stated:
            yield f"the header states {float(stated):.4g} frames per second and the time stamps give {float(rate):.4g}"
        early_end = missing_end(self.index, self._decoder.stream, self._decoder.container)
        if early_end:
            yield early_end
        if not orientation(frame).exact:
            yield f"the display matrix turns by {frame.rotation} degrees; the nearest quarter turn is used"
        if self._decoder.stream.codec_context.color_trc in _HDR_TRANSFERS:
            yield "high dynamic range video: colours are converted without tone mapping and look flat"

    def _reading_warnings(self) -> Iterator[str]:
        damaged = max(decoder.damaged_packets for decoder in self._opened)
        if damaged:
            yield f"damaged packets skipped by the decoder: {damaged}"
        missing = sorted(set().union(*(decoder.substituted for decoder in self._opened)))
        if missing:
            some = ", ".join(map(str, missing[:_SOME])) + (", ..." if len(missing) > _SOME else "")
            yield f"frames replaced by the one before them, because they never were decoded: {len(missing)} ({some})"
        if self._size_changed:
            yield "the size of the picture changes within the clip; frames were scaled to the size of the first"
