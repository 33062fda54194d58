# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Frames that are image files, and animated WebP, which FFmpeg does not read: both through Pillow."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import accumulate
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from .video_errors import (
    VideoDecodeError,
    VideoLimitError,
    VideoLimits,
    VideoOpenError,
    VideoSourceError,
    check_bytes,
    check_length,
    reason,
    short_name,
)


IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm")
# Browsers show a frame without a duration for this long.
DEFAULT_FRAME_SECONDS = 0.1

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "PPM", "WEBP")
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, MemoryError)


def is_image_name(name: Any) -> bool:
    """Whether a name ends like that of a still image; `.webp` does not count, since it may be animated."""
    return os.path.splitext(os.fspath(name))[1].lower() in IMAGE_SUFFIXES


def image_files(folder: str | os.PathLike, limits: VideoLimits | None = None) -> list[str]:
    """The image files of a folder in natural order: `frame2.png` before `frame10.png`.

    Raises:
        VideoSourceError: there are none.
        VideoLimitError: there are more than `limits.frames`.
    """
    limits, names = limits or VideoLimits(), []
    with os.scandir(folder) as entries:
        for entry in entries:
            image = is_image_name(entry.name) or entry.name.lower().endswith(".webp")
            if image and not entry.name.startswith(".") and entry.is_file():
                names.append(entry.name)
            if len(names) > limits.frames:
                raise VideoLimitError(f"{short_name(os.fspath(folder))}: more than {limits.frames:,} image files.")
    if not names:
        raise VideoSourceError(
            f"{short_name(os.fspath(folder))}: a folder without image files ({', '.join(IMAGE_SUFFIXES)}, "
            ".webp). Pass one of its files."
        )
    return [os.path.join(folder, name) for name in sorted(names, key=_natural)]


def _natural(name: str) -> list[tuple[int, str]]:
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(piece), "") if piece[0] in "0123456789" else (-1, piece) for piece in pieces]


def _opened(source: Any, limits: VideoLimits) -> Image.Image:
    """An image whose size has been checked and whose pixels have not been decoded; the caller's to close."""
    name = _name(source)
    if isinstance(source, (str, os.PathLike)):
        if not os.path.isfile(source):
            raise VideoSourceError(f"{name}: no such file. A list given as a video holds the paths of its frames.")
        check_bytes(name, os.path.getsize(source), limits)
    try:
        image = Image.open(source, formats=_FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as exc:
        raise VideoLimitError(f"{name}: {exc}") from exc
    except _DAMAGE as exc:
        raise VideoOpenError(f"{name}: not an image ({reason(exc)}). Accepted: {', '.join(_FORMATS)}.") from exc
    if image.width * image.height > limits.pixels:
        image.close()
        raise VideoLimitError(
            f"{name}: an image of {image.width}x{image.height}; at most {limits.pixels:,} pixels are accepted."
        )
    return image


def _name(source: Any) -> str:
    return short_name(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else "<image>"


def image_size(path: str | os.PathLike, limits: VideoLimits | None = None) -> tuple[int, int]:
    """(height, width) of an image file; its pixels are not decoded.

    Raises:
        VideoError: there is no such file, it is no image, or it is too large.
    """
    with _opened(path, limits or VideoLimits()) as image:
        return image.height, image.width


def read_image(path: str | os.PathLike, limits: VideoLimits | None = None) -> np.ndarray:
    """The (height, width, 3) uint8 RGB pixels of an image file; transparency is dropped.

    Raises:
        VideoError: as `image_size`, and for a damaged image.
    """
    with _opened(path, limits or VideoLimits()) as image:
        return _pixels(image, _name(path))


def _pixels(image: Image.Image, name: str, number: int = 0) -> np.ndarray:
    try:
        image.seek(number)
        return np.array(image.convert("RGB"))  # a copy: PIL lends memory that may not be written
    except _DAMAGE as exc:
        raise VideoDecodeError(f"{name}: frame {number} is damaged ({reason(exc)}).") from exc


def is_webp(source: Any) -> bool:
    """Whether a path, bytes or a binary file object starts like a WebP; a file object is left where it was."""
    head = b""
    if isinstance(source, (bytes, bytearray, memoryview)):
        head = bytes(source[:12])
    elif isinstance(source, (str, os.PathLike)):
        if os.path.isfile(source):
            with open(source, "rb") as file:
                head = file.read(12)
    elif isinstance(source, io.IOBase) and source.seekable():
        place = source.seek(0, os.SEEK_CUR)
        source.seek(0)
        head = source.read(12)
        source.seek(place)
    return isinstance(head, bytes) and head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def webp_durations(file: BinaryIO) -> list[float]:
    """Seconds that each frame of a WebP is shown, from the headers of its chunks; a still one counts as one frame."""
    file.seek(12)
    seconds = []
    while len(header := file.read(8)) == 8:
        size = int.from_bytes(header[4:], "little")
        content = file.read(15) if header[:4] == b"ANMF" else b""
        if len(content) == 15:
            seconds.append(int.from_bytes(content[12:], "little") / 1000 or DEFAULT_FRAME_SECONDS)
        file.seek(size + size % 2 - len(content), os.SEEK_CUR)
    return seconds or [DEFAULT_FRAME_SECONDS]


class AnimationFile:
    """The frames of an animated (or still) WebP and their times.

    Attributes:
        size: (height, width).
        times: seconds at which each frame appears.
        duration: seconds of one round.
    """

    def __init__(self, source: Any, limits: VideoLimits | None = None):
        """Opens an animation and lists its frames; none is decoded.

        Args:
            source: path, bytes or binary file object; the latter is the caller's to close.
            limits: sizes beyond which to refuse.

        Raises:
            VideoError: it is no WebP, is damaged, or is too large.
        """
        limits, self._name = limits or VideoLimits(), _name(source)
        in_memory = isinstance(source, (bytes, bytearray, memoryview))
        with ExitStack() as stack:
            if isinstance(source, (str, os.PathLike)):
                file = stack.enter_context(open(source, "rb"))
            else:
                file = io.BytesIO(source) if in_memory else source
            check_bytes(self._name, file.seek(0, os.SEEK_END), limits)
            durations = webp_durations(file)
            file.seek(0)
            self._image = stack.enter_context(_opened(file, limits))
            self.size = (self._image.height, self._image.width)
            self.duration = sum(durations)
            self.times = [0.0, *accumulate(durations[:-1])]
            check_length(self._name, len(durations), self.duration, limits)
            self._open = stack.pop_all()

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yields each distinct frame once, in order: its number and (height, width, 3) uint8 RGB pixels.

        Raises:
            VideoDecodeError: the file is damaged.
        """
        for number in sorted(set(indices)):
            yield number, _pixels(self._image, self._name, number)

    def __enter__(self) -> AnimationFile:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()


__all__ = ["AnimationFile", "image_files", "image_size", "is_image_name", "is_webp", "read_image", "webp_durations"]
