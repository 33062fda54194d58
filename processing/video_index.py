# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""What can be known about a clip before a frame is decoded: where it is, what it holds, which frames it shows.

The index is made from packets alone, which costs one or two per cent of decoding. Header fields such as the stream's
frame count are never used: they are absent from half of the containers and wrong in some files of the other half.
"""

from __future__ import annotations

import io
import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any, BinaryIO

import av
import numpy as np

from .video_errors import (
    PACKET_ERRORS,
    REENCODE,
    NoVideoStreamError,
    VideoLimitError,
    VideoLimits,
    VideoOpenError,
    VideoSourceError,
    check_bytes,
    open_error,
    reason,
    short_name,
)


# An in-memory playlist can make FFmpeg open other files, so formats and protocols are named one by one.
SAFE_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,gif,apng,ogg,asf,"
    "mpegvideo,h264,hevc",
}
# FFmpeg's own default for elementary streams that carry no rate.
DEFAULT_RATE = Fraction(25)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")  # two letters at least: `C:` is a drive
_SEEK_BY_DTS = ("mpegts", "mpeg")
_SEEK_MARGIN_SECONDS = Fraction(1, 2)


@dataclass(frozen=True)
class ClipSource:
    """A clip that can be opened more than once: a short name for messages and what FFmpeg is given."""

    name: str
    target: str | BinaryIO

    def twin(self) -> ClipSource | None:
        """The same clip for a second decoder that runs beside the first; None for a file object, which has one place.

        Bytes are not copied.
        """
        if isinstance(self.target, io.BytesIO):
            return ClipSource(self.name, io.BytesIO(self.target.getvalue()))
        return self if isinstance(self.target, str) else None


@dataclass(frozen=True)
class FrameIndex:
    """The frames a clip shows, in the order of presentation.

    Attributes:
        pts: presentation stamp of every shown frame, ascending, in ticks of `time_base`.
        keys: presentation stamps of all key packets, ascending, including those that are never shown.
        time_base: seconds per tick.
        last_duration: ticks for which the last frame is shown, 0 when the container does not tell.
        linear: whether frames must be counted while decoding from the start, because stamps are missing, repeated or
            in another order than the frames. `pts` then holds the decoder's own list, once a pass has been made.
        counted: whether `pts` may be relied upon; false for a linear clip before that pass.
        packets: number of packets of the stream.
        seek_margin: ticks by which a seek has to aim before its key frame (transport streams seek by decoding time).
        rewinds: whether decoding times run backwards, as in recordings joined end to end.
        warnings: what was odd about the clip.
    """

    pts: Sequence[int]
    keys: Sequence[int]
    time_base: Fraction
    last_duration: int = 0
    linear: bool = False
    counted: bool = True
    packets: int = 0
    seek_margin: int = 0
    rewinds: bool = False
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self, frame: int) -> float:
        """Time of a frame in seconds after the first shown frame."""
        return float((self.pts[frame] - self.pts[0]) * self.time_base)

    def key_of(self, frame: int) -> int | None:
        """Position in `keys` of the key frame that decoding of `frame` starts from, or None for the clip's start."""
        position = bisect_right(self.keys, self.pts[frame]) - 1
        return position if position >= 0 else None

    def frame_of_key(self, key: int) -> int:
        """Number of the first frame shown at or after the key frame at position `key` of `keys`."""
        return bisect_left(self.pts, self.keys[key])


def local_source(source: str | os.PathLike | bytes | BinaryIO, limits: VideoLimits | None = None) -> ClipSource:
    """Checks that a source is a regular local file, bytes or a seekable binary file object.

    Args:
        source: path, the bytes of a clip, or a file object opened in binary mode, which stays the caller's to close
            and which is read from its first byte.
        limits: of which `bytes` is checked.

    Returns:
        The source in a form that can be opened repeatedly.

    Raises:
        VideoSourceError: for URLs and other protocols, missing files, folders, pipes and unusable objects.
        VideoLimitError: for sources that are too large.
    """
    limits = limits or VideoLimits()
    if isinstance(source, (bytes, bytearray, memoryview)):
        name = f"<{len(source)} bytes>"
        check_bytes(name, len(source), limits)
        return ClipSource(name, io.BytesIO(source))
    if isinstance(source, (str, os.PathLike)):
        clip = _local_file(source)
        check_bytes(clip.name, os.path.getsize(clip.target), limits)
        return clip
    if callable(getattr(source, "read", None)) and callable(getattr(source, "seek", None)):
        clip = ClipSource(short_name(f"<{getattr(source, 'name', type(source).__name__)}>"), _BoundedFile(source))
        size = clip.target.seek(0, os.SEEK_END)
        check_bytes(clip.name, size if isinstance(size, int) else clip.target.tell(), limits)
        return clip
    raise VideoSourceError(
        f"a video source is a path, bytes or a seekable binary file object; got {type(source).__name__}."
    )


def _local_file(source: str | os.PathLike) -> ClipSource:
    path = os.fsdecode(source)
    name = short_name(path)
    if isinstance(source, str) and _SCHEME.match(path):
        scheme = path.split(":", 1)[0]
        remedy = (
            "the video processor fetches http(s) addresses and object stores; the reader opens local files only"
            if source[len(scheme) :].startswith("://")
            else "download it, or pass a local file whose name holds a colon as a pathlib.Path"
        )
        # The address may carry a token, so only its scheme is repeated.
        raise VideoSourceError(f"a video source that starts with `{scheme}:` is not a local file: {remedy}.")
    if "\0" in path or not os.path.exists(path):
        raise VideoSourceError(f"{name}: no such file. Check the path, or pass the clip's bytes.")
    if not os.path.isfile(path):
        what = "a folder: pass one of its files" if os.path.isdir(path) else "a pipe or device: save it first"
        raise VideoSourceError(f"{name}: not a regular file but {what}.")
    # An absolute path can never be taken for a protocol.
    return ClipSource(name, os.path.abspath(path))


class _BoundedFile:
    """A caller's file object for FFmpeg, whose read callback copies what it is given without a length check."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.name = "video"
        if not self._call(getattr(raw, "seekable", lambda: True)):
            raise VideoSourceError("the file object cannot seek; read it and pass its bytes instead.")

    def _call(self, function: Any, *args: Any) -> Any:
        try:
            return function(*args)
        except Exception as exc:  # the caller's object may raise anything
            raise VideoSourceError(f"the file object failed ({reason(exc)}); pass a path or bytes instead.") from exc

    def read(self, size: int = -1) -> bytes:
        data = self._call(self._raw.read, size)
        if not isinstance(data, bytes):
            raise VideoSourceError(f"open the file object in binary mode; its read() gave {type(data).__name__}.")
        if 0 <= size < len(data):
            raise VideoSourceError(f"the file object broke its contract: read({size}) gave {len(data)} bytes.")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._call(self._raw.seek, offset, whence)

    def tell(self) -> int:
        return self._call(self._raw.tell)


def open_container(source: ClipSource, max_streams: int) -> tuple[av.container.InputContainer, Any]:
    """Opens a container with format and protocol whitelists.

    Args:
        source: a source made by `local_source`.
        max_streams: largest accepted number of streams.

    Returns:
        The container and its video stream: FFmpeg's choice where there are several.

    Raises:
        VideoOpenError: or one of its subclasses, when no decodable video is found.
        VideoLimitError: when the container has too many streams.
    """
    if not isinstance(source.target, str):
        source.target.seek(0)
    try:
        # Not `options`: PyAV hands those to each stream as well, and counts streams before FLV and TS show theirs.
        container = av.open(source.target, mode="r", container_options=SAFE_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, MemoryError, UnicodeError) as exc:
        raise open_error(source.name, _head(source), exc) from exc
    try:
        if len(container.streams) > max_streams:
            raise VideoLimitError(f"{source.name}: {len(container.streams)} streams; at most {max_streams} accepted.")
        stream = container.streams.best("video")
        if stream is None:
            kinds = ", ".join(sorted({other.type or "unknown" for other in container.streams})) or "nothing"
            raise NoVideoStreamError(f"{source.name}: no video stream; found {kinds} in {container.format.name}.")
        if stream.codec_context is None:
            raise VideoOpenError(f"{source.name}: this build of PyAV has no decoder for its video; {REENCODE}.")
        for other in container.streams:
            if other.index != stream.index and hasattr(other, "discard"):  # PyAV 17.1 and later
                other.discard = av.stream.Discard.all
    except BaseException:
        container.close()
        raise
    return container, stream


def _head(source: ClipSource) -> bytes:
    if isinstance(source.target, str):
        with open(source.target, "rb") as file:
            return file.read(64)
    source.target.seek(0)
    return source.target.read(64)


def build_index(container: av.container.InputContainer, stream: Any, max_packets: int = 2_000_000) -> FrameIndex:
    """Lists the frames a clip will show by reading the packets of its video stream once.

    Args:
        container: a container that has not been read from; it is left at its end.
        stream: its video stream.
        max_packets: largest accepted number of packets.

    Returns:
        The index. A container that breaks off is indexed up to the damage, with a warning.

    Raises:
        VideoLimitError: when the stream has more than `max_packets` packets.
    """
    listing = _Listing(stream.codec_context.codec.canonical_name == "vp8")
    warnings = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                listing.add(packet)
            if listing.packets > max_packets:
                raise VideoLimitError(f"{short_name(container.name)}: more than {max_packets} packets; cut it up.")
    except PACKET_ERRORS as exc:
        warnings.append(f"the container breaks off after {listing.packets} packets ({reason(exc)})")
    pts = array("q", np.sort(np.asarray(listing.pts)).tobytes())
    # AVI numbers packets in decoding order, so with B-frames its stamps are not those of the frames.
    shuffled = container.format.name == "avi" and stream.codec_context.has_b_frames
    repeated = any(a == b for a, b in pairwise(pts))
    linear = listing.unstamped or listing.rewinds or repeated or shuffled or not listing.keys
    time_base = Fraction(stream.time_base)
    by_dts = container.format.name in _SEEK_BY_DTS
    return FrameIndex(
        pts=pts,
        keys=array("q", sorted(listing.keys)),
        time_base=time_base,
        last_duration=listing.last_duration,
        linear=bool(linear),
        counted=not linear,
        packets=listing.packets,
        seek_margin=int(_SEEK_MARGIN_SECONDS / time_base) if by_dts else 0,
        rewinds=listing.rewinds,
        warnings=tuple(warnings),
    )


class _Listing:
    """Gathers stamps while packets go by."""

    def __init__(self, vp8: bool) -> None:
        self._vp8 = vp8
        self.pts = array("q")  # eight bytes a frame, also for hours of video
        self.keys = array("q")
        self.packets = 0
        self.unstamped = False
        self.rewinds = False
        self.last_duration = 0
        self._started = False
        self._dts: int | None = None
        self._latest: int | None = None

    def add(self, packet: av.Packet) -> None:
        self.packets += 1
        # Decoders show nothing before the first key frame.
        self._started |= packet.is_keyframe
        if not self._started:
            return
        if packet.dts is not None:
            # Joined files: time starts again, even where no stamp is repeated.
            self.rewinds |= self._dts is not None and packet.dts < self._dts
            self._dts = packet.dts
        if packet.pts is None:
            self.unstamped = True
            return
        if packet.is_keyframe:
            self.keys.append(packet.pts)
        # VP8 keeps reference pictures that are never shown in packets of their own, with this bit clear.
        if packet.is_discard or (self._vp8 and not memoryview(packet)[0] & 0x10):
            return
        self.pts.append(packet.pts)
        if self._latest is None or packet.pts > self._latest:
            self._latest = packet.pts
            self.last_duration = packet.duration or 0


def index_from_frames(index: FrameIndex, stamps: Iterable[int | None], rate: Fraction) -> FrameIndex:
    """Completes the index of a linear clip with the list of frames its decoder gave.

    Args:
        index: what the packets told.
        stamps: presentation stamp of every decoded frame, in the order of decoding, None where there is none.
        rate: frames per second, used where stamps are missing.

    Returns:
        An index whose stamps ascend. A clip without stamps is timed by `rate`, and where time starts again the later
        part follows the earlier one. Stamps that are merely out of order (AVI with B-frames) are sorted.
    """
    stamps = list(stamps)
    if None in stamps:
        return replace(
            index,
            pts=range(len(stamps)),
            time_base=1 / rate,
            last_duration=1,
            counted=True,
            warnings=(*index.warnings, f"frames carry no time stamps; {float(rate):g} frames per second assumed"),
        )
    unfolded = _unfold(stamps if index.rewinds else sorted(stamps))
    warnings = index.warnings
    if index.rewinds:
        warnings = (*warnings, "time stamps run backwards; the parts were put one after the other")
    return replace(index, pts=tuple(unfolded), counted=True, warnings=warnings)


def _unfold(stamps: Sequence[int]) -> list[int]:
    gaps = [b - a for a, b in pairwise(stamps) if b > a]
    step = int(median(gaps)) if gaps else 1
    unfolded: list[int] = []
    shift = 0
    for stamp in stamps:
        if unfolded and stamp + shift <= unfolded[-1]:
            shift = unfolded[-1] + step - stamp
        unfolded.append(stamp + shift)
    return unfolded


def fallback_rate(stream: Any, stamped: bool) -> Fraction:
    """Rate for clips whose stamps do not give one (a single frame, or no stamps at all).

    Raw streams have no header: their average rate is a constant of the demuxer, and the guessed one is the codec's.
    """
    rates = (stream.average_rate, stream.guessed_rate)
    for rate in rates if stamped else reversed(rates):
        if rate:
            return Fraction(rate)
    return DEFAULT_RATE


def frame_rate(index: FrameIndex, fallback: Fraction) -> Fraction:
    """Mean rate in frames per second over the shown frames, or `fallback` for a single frame."""
    if len(index) < 2:
        return fallback
    return (len(index) - 1) / ((index.pts[-1] - index.pts[0]) * index.time_base)


def duration(index: FrameIndex, rate: Fraction) -> Fraction:
    """Seconds from the first shown frame to the end of the last one."""
    shown = (index.pts[-1] - index.pts[0]) * index.time_base
    return shown + (index.last_duration * index.time_base or 1 / rate)


def is_variable_rate(index: FrameIndex) -> bool:
    """Whether gaps between frames differ by more than rounding: over two ticks and over a tenth of the mean gap."""
    gaps = [b - a for a, b in pairwise(index.pts)]
    if not gaps:
        return False
    spread = max(gaps) - min(gaps)
    return spread > 2 and spread > 0.1 * sum(gaps) / len(gaps)


def missing_end(index: FrameIndex, stream: Any, container: av.container.InputContainer) -> str | None:
    """Warning for a clip that ends well before the time its header states, or None.

    Damage is silent in most containers: a cut file simply ends early.
    """
    if stream.duration:
        stated = stream.duration * Fraction(stream.time_base)
    elif container.duration:
        stated = Fraction(container.duration, av.time_base)
    else:
        return None
    end = (index.pts[-1] + index.last_duration) * index.time_base
    if end >= stated * Fraction(98, 100):
        return None
    return f"the header states {float(stated):.2f} s and the video ends at {float(end):.2f} s; it may be cut short"
