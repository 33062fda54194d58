# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Decoding of one clip along a plan: seek or decode on, retreat where a seek overshoots, survive damage."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from threading import Lock

import av
import av.logging

from .video_errors import (
    PACKET_ERRORS,
    REENCODE,
    VideoDecodeError,
    VideoLimitError,
    VideoLimits,
    VideoOpenError,
    VideoStateError,
    VideoTruncatedError,
    check_length,
    reason,
    translate_errors,
)
from .video_index import (
    DEFAULT_RATE,
    ClipSource,
    FrameIndex,
    build_index,
    duration,
    fallback_rate,
    frame_rate,
    index_from_frames,
    open_container,
)
from .video_plan import Plan, Run


try:
    from torch.utils.data import get_worker_info
except ImportError:  # the reader itself needs no torch
    get_worker_info = None

# Damaged packets that one read skips: this many, or this share of the clip's packets if that is more.
DAMAGE_BUDGET_PACKETS = 100
DAMAGE_BUDGET_SHARE = 0.10

_MAX_THREADS = 4
# Decoders that tell frames no other frame refers to, and where dropping those changes nothing else. Where at least
# so many frames are decoded per wanted one, passing over them pays.
_SKIPPING_CODECS = ("h264", "mpeg4", "mpeg2video")
_SKIPPING_FROM = 2
_REMEDY = f"If the file plays elsewhere, {REENCODE}."


class ClipDecoder:
    """Carries plans out on one clip. Not thread-safe.

    Attributes:
        source: the clip.
        index: its frame index.
        stream: the open video stream; None once closed.
        threads: number of decoder threads.
        decoded_frames: frames the decoder has given so far.
        damaged_packets: most packets that one read found undecodable.
        substituted: numbers of frames that never came out of the decoder.
        decode_seconds: time spent in the decoder so far.
    """

    def __init__(
        self, source: ClipSource, limits: VideoLimits, threads: int | None = None, index: FrameIndex | None = None
    ) -> None:
        """Opens and indexes a clip; one whose frames cannot be listed from packets is decoded once and counted.

        Args:
            source: the clip.
            limits: sizes beyond which to refuse.
            threads: number of decoder threads; None chooses.
            index: of the clip, where it is known already.

        Raises:
            VideoOpenError: or one of its subclasses, when there is no video that can be read.
            VideoDecodeError: when counting finds the clip too damaged.
            VideoLimitError: when the clip exceeds a limit.
        """
        self.source = source
        self.decoded_frames = 0
        self.damaged_packets = 0
        self.substituted: set[int] = set()
        self._limits = limits
        self.threads = threads or _default_threads()
        self.decode_seconds = 0.0
        self._pid = os.getpid()
        self._lock = Lock()  # reads may run ahead in a thread
        self._pass = 0
        self._begun: tuple[av.VideoFrame, Iterator[av.VideoFrame]] | None = None
        self._wanted: frozenset[int] | None = None
        self._may_skip = True
        self._last_error: Exception | None = None
        self._open()
        try:
            self.index = self._listed() if index is None else index
            if not self.index.counted:
                self.index = self._counted(self.index)
        except BaseException:
            self.close()
            raise

    def twin(self) -> ClipDecoder | None:
        """A second decoder of the same clip, which may run in another thread; None where there can be none."""
        source = self.source.twin()
        return None if source is None else ClipDecoder(source, self._limits, self.threads, self.index)

    def close(self) -> None:
        """Frees the decoder and the file."""
        # In a forked child the decoder's threads do not exist, and freeing it would wait for them for ever.
        if self._pid != os.getpid():
            return
        with self._lock:
            if self.stream is not None:
                self.container.close()
                self.container = self.stream = self._begun = None

    def check_usable(self) -> None:
        """Raises `VideoStateError` in a forked process and after `close`."""
        if self._pid != os.getpid():
            raise VideoStateError(
                f"{self.source.name}: opened in process {self._pid}, used in process {os.getpid()}. A decoder "
                "does not survive a fork; open the clip in the process that reads it."
            )
        if self.stream is None:
            raise VideoStateError(f"{self.source.name}: the reader is closed; open the clip again.")

    def first_frame(self) -> av.VideoFrame:
        """Decodes the clip's first frame. A read from the start that comes next goes on from there.

        Raises:
            VideoDecodeError: when no frame can be decoded.
        """
        self.check_usable()
        with self._lock:
            self._pass += 1
            frames = self._decode_from(None)
            frame = next(frames, None)
            if frame is None:
                raise self._nothing_decoded()
            self._begun = frame, frames
        return frame

    def frames(self, plan: Plan) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes the frames a plan wants, in time order.

        A frame that never comes out of the decoder is replaced by the one decoded before it and recorded in
        `substituted`.

        Args:
            plan: a plan made for this clip's index.

        Yields:
            Frame number and decoded frame.

        Raises:
            VideoDecodeError: when the clip is too damaged to go on.
            VideoStateError: when another read began in between, or the clip may not be used.
        """
        frames = self._planned(plan)
        end = time.monotonic() + self._limits.read_seconds
        while True:
            self.check_usable()
            with self._lock:
                start = time.perf_counter()
                number_and_frame = next(frames, None)
                self.decode_seconds += time.perf_counter() - start
            if number_and_frame is None:
                return
            if time.monotonic() > end:
                raise VideoLimitError(
                    f"{self.source.name}: reading took longer than {self._limits.read_seconds:g} s. Ask for fewer "
                    "frames, cut the clip up, or raise limits={'read_seconds': ...}."
                )
            yield number_and_frame
            del number_and_frame

    def _planned(self, plan: Plan) -> Iterator[tuple[int, av.VideoFrame]]:
        self._pass += 1
        begun = self._pass
        for run in plan.runs:
            for number_and_frame in self._run(run):
                yield number_and_frame
                del number_and_frame
                self.check_usable()
                if begun != self._pass:
                    raise VideoStateError(
                        f"{self.source.name}: another read began before this one ended. Finish one first, or open a "
                        "second reader."
                    )

    def _open(self) -> None:
        self.container, self.stream = open_container(self.source, self._limits.streams)
        codec = self.stream.codec_context
        if codec.width * codec.height > self._limits.pixels:
            self.close()
            raise VideoLimitError(
                f"{self.source.name}: frames of {codec.width}x{codec.height}; at most {self._limits.pixels:,} pixels "
                "are accepted. Scale the clip down first."
            )
        # The decoder's own cap also holds where the header understates the size and where it changes later.
        codec.options = {"max_pixels": str(self._limits.pixels)}
        # Once a log level is set, frame threads that log and a main thread that frees the decoder wait for each other.
        codec.thread_type = "AUTO" if self.threads > 1 and av.logging.get_level() is None else "SLICE"
        codec.thread_count = self.threads

    def _listed(self) -> FrameIndex:
        with translate_errors(self.source.name, "reading its packets", VideoOpenError):
            index = build_index(self.container, self.stream, self._limits.packets)
        if not index.packets or (index.counted and not index.pts):
            raise VideoTruncatedError(
                f"{self.source.name}: the container opens and holds no complete frame; it was cut short. Fetch it "
                "again."
            )
        rate = frame_rate(index, DEFAULT_RATE) if index.counted else DEFAULT_RATE
        seconds = float(duration(index, rate)) if index.counted else 0.0
        check_length(self.source.name, len(index) if index.counted else index.packets, seconds, self._limits)
        return index

    def _counted(self, index: FrameIndex) -> FrameIndex:
        stamps = [frame.pts for frame in self._decode_from(None)]
        if not stamps:
            raise self._nothing_decoded()
        return index_from_frames(index, stamps, fallback_rate(self.stream, stamped=False))

    def _nothing_decoded(self) -> VideoDecodeError:
        found = reason(self._last_error) if self._last_error else "its packets hold no picture"
        error = VideoDecodeError(f"{self.source.name}: no frame could be decoded ({found}). {_REMEDY}")
        error.__cause__ = self._last_error
        return error

    def _run(self, run: Run) -> Iterator[tuple[int, av.VideoFrame]]:
        waiting = deque(run.targets)
        if self._skips_in(run):
            self._wanted = frozenset(self.index.pts[target] for target in run.targets)
            try:
                yield from self._matched(waiting, self._from_key(run.key, waiting[0]), complete=True)
            finally:
                self._wanted = None
                self.stream.codec_context.skip_frame = "DEFAULT"
            # Frames are missing: they are damaged, or this clip's frames refer to each other in an odd way.
            self._may_skip = not waiting
        if waiting:
            yield from self._matched(waiting, self._from_key(run.key, waiting[0]))

    def _skips_in(self, run: Run) -> bool:
        codec = self.stream.codec_context.codec.canonical_name
        sparse = run.decoded_frames >= _SKIPPING_FROM * len(run.targets)
        return self._may_skip and sparse and not self.index.linear and codec in _SKIPPING_CODECS

    def _from_key(self, key: int | None, target: int) -> Iterator[av.VideoFrame]:
        """Frames from a key frame on, or from an earlier one where seeking to it goes past the target."""
        step = 1
        while True:
            frames = self._decode_from(key)
            first = next(frames, None)
            if key is None or (first is not None and self._at_or_before(first, target)):
                break
            # The seek went too far: aim further and further back, at last decode from the start.
            key, step = (key - step if key >= step else None), 2 * step
        if first is None:
            raise self._nothing_decoded()
        return chain([first], frames)

    def _at_or_before(self, frame: av.VideoFrame, target: int) -> bool:
        return frame.pts is not None and frame.pts <= self.index.pts[target]

    def _matched(
        self, waiting: deque[int], frames: Iterable[av.VideoFrame], complete: bool = False
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Takes the frames waited for; one that does not come is substituted or, if `complete`, ends the search."""
        # Frames of a linear clip are known by their place, all others by their stamp.
        stamps = range(len(self.index)) if self.index.linear else self.index.pts
        previous: av.VideoFrame | None = None
        for place, frame in enumerate(frames):
            stamp = place if self.index.linear else frame.pts
            while waiting and stamp is not None and stamps[waiting[0]] < stamp:
                if complete:
                    return
                self.substituted.add(waiting[0])
                yield waiting.popleft(), frame if previous is None else previous
            if waiting and stamps[waiting[0]] == stamp:
                yield waiting.popleft(), frame
            if not waiting:
                return
            previous = frame
        if not complete:
            self.substituted.update(waiting)
            while waiting:
                yield waiting.popleft(), previous

    def _decode_from(self, key: int | None) -> Iterator[av.VideoFrame]:
        begun, self._begun = self._begun, None
        if key is None and begun is not None:
            yield begun[0]
            yield from begun[1]
            return
        if key is None:
            # Opening again is the only way back to the start that works for every container.
            self.container.close()
            self._open()
        else:
            try:
                self.container.seek(self.index.keys[key] - self.index.seek_margin, stream=self.stream)
            except av.FFmpegError:
                return  # as if it had gone too far
        damaged = 0
        for packet in self._packets():
            self._skip_unless_wanted(packet)
            try:
                frames = self.stream.decode(packet)
            except av.FFmpegError as exc:
                damaged += 1
                self._note_damage(damaged, exc)
                continue
            for frame in frames:
                self.decoded_frames += 1
                yield frame

    def _skip_unless_wanted(self, packet: av.Packet | None) -> None:
        """Lets the decoder pass over a packet whose frame is neither wanted nor referred to by others."""
        if self._wanted is not None and packet is not None:
            needed = packet.pts is None or packet.pts in self._wanted
            self.stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"

    def _packets(self) -> Iterator[av.Packet | None]:
        try:
            yield from self.container.demux(self.stream)
        except PACKET_ERRORS as exc:
            self._last_error = exc
            yield None  # the container broke off; what the decoder still holds is good

    def _note_damage(self, damaged: int, exc: av.FFmpegError) -> None:
        self._last_error = exc
        self.damaged_packets = max(self.damaged_packets, damaged)
        budget = max(DAMAGE_BUDGET_PACKETS, int(DAMAGE_BUDGET_SHARE * self.index.packets))
        if damaged > budget:
            raise VideoDecodeError(
                f"{self.source.name}: more than {budget} packets could not be decoded ({reason(exc)}). {_REMEDY}"
            ) from exc


def _default_threads() -> int:
    # DataLoader workers already fill the processor, and threads would multiply.
    if get_worker_info is not None and get_worker_info() is not None:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MAX_THREADS, usable)
