# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Typed errors and limits of the video reader, and the translation of PyAV's exceptions.

Every error is a `VideoError`, which is a `ValueError`: a caller that handles bad input in general needs to know no
other name. Messages say what was found, what is accepted and what can be done about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import av


CONTAINERS = "mp4, mov, mkv, webm, avi, ts, mpg, flv, gif, apng, ogg, asf/wmv and raw h264/hevc/mpeg video"
REENCODE = "re-encode it with `ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4`"

# What reading packets may raise. Damage can look like the start of another stream, which PyAV then fails to find in
# its list: a plain IndexError.
PACKET_ERRORS = (av.FFmpegError, IndexError)

_LABEL_LENGTH = 60


class VideoError(ValueError):
    """Base of everything the video reader raises about its input or its use."""


class VideoSourceError(VideoError):
    """The source cannot be used at all: missing, a folder, a URL, or an object that is not a seekable binary file."""


class VideoOpenError(VideoError):
    """The source exists, and no accepted container with a decodable video was found in it."""


class VideoTruncatedError(VideoOpenError):
    """The source starts like a video and ends before its first complete frame or before its index."""


class NoVideoStreamError(VideoOpenError):
    """The container is sound and holds no video stream (an audio file, for instance)."""


class VideoDecodeError(VideoError):
    """Frames could not be decoded, or more packets were damaged than the reader tolerates."""


class VideoLimitError(VideoError):
    """The clip or the request is larger than one of the reader's limits."""


class VideoFrameIndexError(VideoError, IndexError):
    """A frame number or a time lies outside the clip, or is not a number of the right kind."""


class VideoStateError(VideoError, RuntimeError):
    """The reader was used after `close()`, in a forked process, or by two reads at once."""


@dataclass(frozen=True)
class VideoLimits:
    """Sizes beyond which the reader refuses to go on. All but the last five are checked before a frame is decoded.

    Attributes:
        bytes: size of a file, in bytes.
        pixels: pixels of one frame; enforced by the decoder itself, before it allocates.
        streams: streams of a container.
        packets: packets of the video stream.
        frames: frames a clip shows, or image files make up.
        seconds: duration of a clip.
        decoded_frames: frames decoded for one request.
        output_bytes: size of the array `VideoReader.read` returns.
        read_seconds: time that one request may take, looked at between frames.
        download_bytes: bytes received from a URL.
        download_seconds: time that a download may take from the first connection to the last byte.
        timeout_seconds: time without any byte received.
        redirects: times that a URL may point to another.
        private_addresses: whether URLs may lead to machines that are not on the public internet (this machine, the
            local network, a cloud's metadata service), and through protocols other than https, http and object stores.
    """

    bytes: int = 4 << 30
    pixels: int = 8192 * 8192
    streams: int = 32
    packets: int = 2_000_000
    frames: int = 2_000_000
    seconds: float = 24 * 3600.0
    decoded_frames: int = 1_000_000
    output_bytes: int = 8 << 30
    read_seconds: float = 3600.0
    download_bytes: int = 512 << 20
    download_seconds: float = 600.0
    timeout_seconds: float = 30.0
    redirects: int = 5
    private_addresses: bool = False

    @classmethod
    def of(cls, limits: VideoLimits | Mapping[str, Any] | None) -> VideoLimits:
        """Limits from a mapping of those that differ from the defaults.

        Raises:
            VideoError: for unknown names.
        """
        if isinstance(limits, cls):
            return limits
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(limits or ()) - known)
        if unknown:
            raise VideoError(f"unknown limits: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
        return cls(**(limits or {}))


def check_bytes(name: str, size: int, limits: VideoLimits) -> None:
    """Raises `VideoLimitError` for a file that is too large."""
    if size > limits.bytes:
        raise VideoLimitError(
            f"{name}: {size:,} bytes; at most {limits.bytes:,} are accepted. Cut it up, or raise the limit `bytes`."
        )


def check_length(name: str, frames: int, seconds: float, limits: VideoLimits) -> None:
    """Raises `VideoLimitError` for a clip with too many frames or that lasts too long."""
    if frames > limits.frames:
        raise VideoLimitError(f"{name}: {frames:,} frames; at most {limits.frames:,} are accepted. Cut the clip up.")
    if seconds > limits.seconds:
        raise VideoLimitError(
            f"{name}: {seconds:,.0f} seconds; at most {limits.seconds:,.0f} are accepted. Cut the clip up."
        )


def short_name(name: str) -> str:
    """Shortens a source's name to its last characters, so that a message stays readable.

    Args:
        name: path or description of the source.

    Returns:
        The name itself, or an ellipsis followed by its end.
    """
    return name if len(name) <= _LABEL_LENGTH else "..." + name[3 - _LABEL_LENGTH :]


def open_error(name: str, head: bytes, exc: BaseException) -> VideoOpenError:
    """The error for a source that FFmpeg cannot open, with a guess at what the source is.

    Args:
        name: short name of the source.
        head: its first bytes; 64 are enough.
        exc: FFmpeg's exception.

    Returns:
        A `VideoTruncatedError` for what starts like a video, else a `VideoOpenError`.
    """
    is_video = any(head[at : at + len(magic)] == magic for at, magic, _ in _VIDEO_MAGIC)
    error = VideoTruncatedError if is_video else VideoOpenError
    return error(
        f"{name}: not a video that can be opened ({reason(exc)}). Found: {_describe(head)}. Accepted: {CONTAINERS}. "
        f"If the file plays elsewhere, {REENCODE}; if it was downloaded, fetch it again."
    )


def _describe(head: bytes) -> str:
    if not head:
        return "0 bytes"
    for at, magic, what in (*_VIDEO_MAGIC, *_OTHER_MAGIC):
        if head[at : at + len(magic)] == magic:
            return what
    if head.lstrip()[:1] == b"<":
        return "HTML or XML text (an error page saved under a video's name?)"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "plain text"
    return f"unknown data starting with the bytes {head[:8].hex(' ')}"


# Offset, bytes at that offset, what they tell.
_VIDEO_MAGIC = (
    (4, b"ftyp", "an mp4 or mov file without a usable index (it was probably cut short)"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file without usable content (it was probably cut short)"),
    (8, b"AVI ", "an AVI file without usable content (it was probably cut short)"),
    (0, b"GIF8", "a GIF file without usable content (it was probably cut short)"),
)
_OTHER_MAGIC = (
    (0, b"PK\x03\x04", "a zip archive (unpack it first)"),
    (0, b"\x1f\x8b", "a gzip archive (unpack it first)"),
    (0, b"#EXTM3U", "an m3u8 playlist (playlists are refused: they can name other files)"),
    (0, b"ffconcat", "an ffconcat playlist (playlists are refused: they can name other files)"),
    (0, b"version https://git-lfs", "a Git LFS pointer (run `git lfs pull`)"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (8, b"WEBP", "a WebP picture (Pillow reads these)"),
)


@contextmanager
def translate_errors(name: str, doing: str, error: type[VideoError] = VideoDecodeError) -> Iterator[None]:
    """Turns PyAV's exceptions into a typed error that names the source.

    Args:
        name: short name of the source.
        doing: what was being done, as in `"reading its packets"`.
        error: class of the error to raise.

    Raises:
        VideoError: of class `error`, in place of any exception of FFmpeg, an exhausted allocation or an undecodable
            text field.
    """
    try:
        yield
    except (av.FFmpegError, MemoryError, UnicodeError) as exc:
        raise error(f"{name}: {doing} failed ({reason(exc)}). If the file plays elsewhere, {REENCODE}.") from exc


def reason(exc: BaseException) -> str:
    """FFmpeg's own words for an exception, without the repeated file name."""
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
