# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Sound of a video or sound file, read in two passes: one that counts, one that keeps what is asked for.

Whatever the length of the file, memory holds the stretches that are kept and one decoded frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import av
import numpy as np

from .video_errors import PACKET_ERRORS, REENCODE, VideoError, VideoLimitError, VideoLimits, reason
from .video_index import SAFE_OPTIONS, ClipSource, local_source


# A start and an end, in samples; the end is not included.
Stretch = tuple[int, int]

SOUND_FORMATS = "wav,w64,aiff,caf,au,mp3,flac,aac,ac3,eac3,amr"
DAMAGE_BUDGET_SHARE = 0.10

_OPTIONS = SAFE_OPTIONS | {"format_whitelist": f"{SAFE_OPTIONS['format_whitelist']},{SOUND_FORMATS}"}
_REMEDY = 'Pass a file with sound, a sound file or samples, or ask for silence with `missing_audio="silence"`.'


class AudioError(VideoError):
    """Base of everything that makes sound unreadable in a source that exists."""


class AudioOpenError(AudioError):
    """No container of a known kind, or one whose sound this build of FFmpeg cannot decode."""


class NoAudioStreamError(AudioError):
    """The container is sound and holds no audio stream (a silent video)."""


class AudioDecodeError(AudioError):
    """The audio stream gives no samples, or too many of its packets are damaged."""


class AudioReader:
    """Reads stretches of one source's sound, at the rate it is stored in. Not thread-safe.

    Example:
        with AudioReader.open("clip.mp4") as reader:
            (first_second,) = reader.read([(0, reader.sampling_rate)])

    Attributes:
        sampling_rate: samples per second of the stored sound.
        num_channels: rows of what `read` gives.
    """

    def __init__(self, source: ClipSource, limits: VideoLimits) -> None:
        """Use `AudioReader.open`."""
        self._source, self._limits = source, limits
        self._num_samples: int | None = None
        self._container, stream = self._open()
        self.sampling_rate: int = stream.codec_context.sample_rate
        self.num_channels: int = stream.codec_context.layout.nb_channels
        self._layout: str = stream.codec_context.layout.name
        if not self.sampling_rate or not self.num_channels:
            self.close()
            raise AudioOpenError(f"{source.name}: its audio stream states no sampling rate or no channels. {_REMEDY}")

    @classmethod
    def open(cls, source: str | os.PathLike | bytes | BinaryIO, *, limits: VideoLimits | None = None) -> AudioReader:
        """Opens a source and finds its sound; nothing is decoded yet.

        Args:
            source: path of a local video or sound file, its bytes, or a seekable binary file object, the caller's to
                close.
            limits: sizes beyond which to refuse; `streams` and `packets` apply.

        Raises:
            VideoSourceError: the source cannot be used at all.
            AudioError: a subclass says whether the source cannot be opened or holds no sound.
            VideoLimitError: the source exceeds a limit.
        """
        return cls(local_source(source), limits or VideoLimits())

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Frees the file; a file object of the caller stays open."""
        self._container.close()

    @property
    def num_samples(self) -> int:
        """Samples per channel; the first access decodes the whole sound once, because headers do not tell.

        Raises:
            AudioDecodeError: there are none, or the stream is too damaged.
        """
        if self._num_samples is None:
            self._num_samples = sum(samples.shape[1] for samples in self._samples())
            if not self._num_samples:
                raise AudioDecodeError(f"{self._source.name}: its audio stream holds no samples. {_REMEDY}")
        return self._num_samples

    def read(self, stretches: Sequence[Stretch]) -> list[np.ndarray]:
        """Reads stretches in one pass.

        Args:
            stretches: within [0, num_samples), in any order.

        Returns:
            One (channels, samples) float32 array per stretch, full scale from -1 to 1.

        Raises:
            AudioError: a stretch lies outside the sound.
            AudioDecodeError: the stream is too damaged.
        """
        outside = [stretch for stretch in stretches if not 0 <= stretch[0] <= stretch[1] <= self.num_samples]
        if outside:
            raise AudioError(f"{self._source.name}: {outside[0]} is not a stretch of {self.num_samples} samples.")
        kept = [np.zeros((self.num_channels, stop - start), np.float32) for start, stop in stretches]
        last = max((stop for _, stop in stretches), default=0)
        begin = 0
        for samples in self._samples():
            for (start, stop), array in zip(stretches, kept, strict=True):
                first, end = max(start, begin), min(stop, begin + samples.shape[1])
                if first < end:
                    array[:, first - start : end - start] = samples[:, first - begin : end - begin]
            begin += samples.shape[1]
            if begin >= last:
                break
        return kept

    def _open(self) -> tuple[av.container.InputContainer, Any]:
        source = self._source
        if not isinstance(source.target, str):
            source.target.seek(0)
        try:
            container = av.open(source.target, mode="r", container_options=_OPTIONS, metadata_errors="replace")
        except (av.FFmpegError, MemoryError, UnicodeError) as exc:
            raise AudioOpenError(
                f"{source.name}: no video or sound file that can be opened ({reason(exc)}). {_REMEDY}"
            ) from exc
        try:
            return container, self._find_stream(container)
        except BaseException:
            container.close()
            raise

    def _find_stream(self, container: av.container.InputContainer) -> Any:
        name = self._source.name
        if len(container.streams) > self._limits.streams:
            raise VideoLimitError(
                f"{name}: {len(container.streams)} streams; at most {self._limits.streams} accepted."
            )
        stream = container.streams.best("audio")
        if stream is None:
            kinds = ", ".join(sorted({other.type or "unknown" for other in container.streams})) or "nothing"
            raise NoAudioStreamError(f"{name}: no audio stream; found {kinds}. {_REMEDY}")
        if stream.codec_context is None:
            raise AudioOpenError(f"{name}: this build of PyAV has no decoder for its sound; {REENCODE}.")
        for other in container.streams:
            if other.index != stream.index and hasattr(other, "discard"):  # PyAV 17.1 and later
                other.discard = av.stream.Discard.all
        return stream

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Decodes from the start, past damaged packets."""
        self._container.close()
        self._container, stream = self._open()
        packets = damaged = 0
        last_error: Exception | None = None
        try:
            for packet in self._container.demux(stream):
                packets += 1
                if packets > self._limits.packets:
                    raise VideoLimitError(f"{self._source.name}: more than {self._limits.packets:,} packets of sound.")
                try:
                    yield from packet.decode()
                except PACKET_ERRORS as exc:
                    damaged, last_error = damaged + 1, exc
        except av.FFmpegError as exc:
            last_error = exc  # the container broke off; what was decoded is good
        if damaged > DAMAGE_BUDGET_SHARE * packets:
            raise AudioDecodeError(
                f"{self._source.name}: {damaged} of {packets} packets of sound could not be decoded "
                f"({reason(last_error)}). {_REMEDY}"
            ) from last_error

    def _samples(self) -> Iterator[np.ndarray]:
        """(channels, n) float32 per decoded frame."""
        convert = av.AudioResampler(format="fltp", layout=self._layout, rate=self.sampling_rate)
        try:
            for frame in self._frames():
                for part in convert.resample(frame):
                    yield part.to_ndarray()
        except (av.FFmpegError, ValueError) as exc:
            if isinstance(exc, VideoError):
                raise
            raise AudioDecodeError(
                f"{self._source.name}: its sound changes its format on the way ({reason(exc)}). {_REMEDY}"
            ) from exc


class AudioSamples:
    """A sound given as samples, with the interface of [`AudioReader`].

    Args:
        samples: (samples,) or (channels, samples); floats at full scale from -1 to 1, or signed integers at theirs.
        sampling_rate: samples per second.

    Raises:
        AudioError: another shape, no samples, or values that are no numbers.
    """

    def __init__(self, samples: Any, sampling_rate: int) -> None:
        array = np.asarray(samples)
        if array.ndim not in (1, 2) or not array.size:
            raise AudioError(
                f"Samples must be (samples,) or (channels, samples) and at least one; got shape {array.shape}."
            )
        if sampling_rate < 1:
            raise AudioError(f"sampling_rate must be at least 1 sample per second, got {sampling_rate}.")
        if array.dtype.kind == "i":
            array = array / np.float32(-np.iinfo(array.dtype).min)
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise AudioError(f"Samples must be finite floats or signed integers, got {array.dtype}.")
        self.array = np.atleast_2d(array).astype(np.float32)
        self.sampling_rate = sampling_rate
        self.num_channels, self.num_samples = self.array.shape

    def __enter__(self) -> AudioSamples:
        return self

    def __exit__(self, *exception: Any) -> None:
        return None

    def read(self, stretches: Sequence[Stretch]) -> list[np.ndarray]:
        """See [`AudioReader.read`]; the arrays are copies."""
        return [self.array[:, start:stop].copy() for start, stop in stretches]


__all__ = [
    "AudioDecodeError",
    "AudioError",
    "AudioOpenError",
    "AudioReader",
    "AudioSamples",
    "NoAudioStreamError",
    "Stretch",
]
