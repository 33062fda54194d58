# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Video-LLaMA's hearing: a few clips of two seconds, spread over a sound, as log-mel spectrograms.

Follows ImageBind's loader (https://github.com/facebookresearch/ImageBind) and Kaldi's filter banks with torchaudio's
settings, without torchaudio. Kept for parity with the released weights: clip starts are `k * (duration - 2) / 8`, so
the end of a sound is never heard; the mean over all channels is taken off clip after clip from one copy of the sound,
so that clips which overlap hear what earlier ones took off; only the first channel is heard; frames that are missing
are 0 in the log domain, before normalisation.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers.audio_utils import mel_filter_bank, window_function
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import AudioKwargs

from .audio_reader import AudioError, AudioReader, AudioSamples, Stretch
from .audio_resampling import read_resampled, resampled_length
from .video_errors import VideoLimits
from .video_fetch import fetch


# Kaldi's defaults, as torchaudio states them.
FRAME_SECONDS, HOP_SECONDS = 0.025, 0.010
PREEMPHASIS = 0.97
LOWEST_HERTZ = 20.0

MISSING_AUDIO = ("error", "silence")


class VideoLlamaAudioKwargs(AudioKwargs, total=False):
    """Options of [`VideoLlamaFeatureExtractor.__call__`] that a processor passes on."""

    missing_audio: str | None
    limits: dict[str, Any] | None


class SoundPayload(np.ndarray):
    """A sound that is still to be read: a path, URL, bytes or an open binary file.

    transformers takes arrays as they are and loads everything else by itself, whole and with other libraries, so the
    source travels inside an empty array.
    """

    payload: Any

    def __new__(cls, payload: Any) -> SoundPayload:
        sound = np.empty(0, np.float32).view(cls)
        sound.payload = payload
        return sound

    def __deepcopy__(self, memo: dict) -> SoundPayload:
        # Call arguments are deep-copied on their way; an open file cannot be, and bytes need not be.
        return self


def accept_sounds(audio: Any) -> Any:
    """Replaces paths, URLs, bytes and file objects, at any depth of nested lists, by arrays."""
    if isinstance(audio, (list, tuple)) and not (audio and isinstance(audio[0], float)):
        return [accept_sounds(entry) for entry in audio]
    if isinstance(audio, (str, bytes, bytearray, os.PathLike)) or hasattr(audio, "readinto"):
        return SoundPayload(audio)
    return audio


@contextmanager
def open_sound(
    sound: Any, sampling_rate: int, limits: dict[str, Any] | None = None
) -> Iterator[AudioReader | AudioSamples]:
    """Opens one sound.

    Args:
        sound: [`SoundPayload`], or samples (samples,) or (channels, samples).
        sampling_rate: of samples; a source knows its own.
        limits: sizes beyond which to refuse, and which URLs to open.

    Raises:
        AudioError: a subclass says whether the source holds no sound or cannot be decoded.
        VideoSourceError: the source cannot be used at all.
    """
    if isinstance(sound, SoundPayload):
        bounds = VideoLimits.of(limits)
        with fetch(sound.payload, bounds) as source, AudioReader.open(source, limits=bounds) as reader:
            yield reader
    else:
        yield AudioSamples(sound, sampling_rate)


def clip_times(duration: float, num_clips: int, seconds: float) -> list[tuple[Fraction, Fraction]]:
    """Start and end of every clip, in seconds; all alike in a sound that is not longer than a clip.

    Args:
        duration: of the sound.
        num_clips: how many.
        seconds: length of a clip.
    """
    step = Fraction(max(duration - seconds, 0)) / num_clips
    return [(step * number, step * number + Fraction(seconds)) for number in range(num_clips)]


def clip_stretches(duration: float, num_clips: int, seconds: float, sampling_rate: int) -> list[Stretch]:
    """[`clip_times`] in samples, some perhaps beyond the end of the sound."""
    times = clip_times(duration, num_clips, seconds)
    return [(int(start * sampling_rate), int(end * sampling_rate)) for start, end in times]


def union(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The stretches, sorted by their starts, with those that overlap joined."""
    joined: list[Stretch] = []
    for start, stop in stretches:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


@lru_cache(maxsize=8)
def kaldi_constants(sampling_rate: int, num_mel_bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Window (samples of a frame,) and filters (frequencies, mel bins) of [`kaldi_mel`]."""
    size = round(FRAME_SECONDS * sampling_rate)
    with warnings.catch_warnings():
        # The lowest of 128 filters lie between two frequencies and stay empty, in the original too.
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
        filters = mel_filter_bank(
            num_frequency_bins=transform_size(size) // 2 + 1,
            num_mel_filters=num_mel_bins,
            min_frequency=LOWEST_HERTZ,
            max_frequency=sampling_rate / 2,
            sampling_rate=sampling_rate,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
    window = window_function(size, "hann", periodic=False)
    return torch.from_numpy(window).float(), torch.from_numpy(filters).float()


def transform_size(size: int) -> int:
    """The power of two at or above `size`."""
    return 1 << (size - 1).bit_length()


def kaldi_mel(waveforms: torch.Tensor, sampling_rate: int, num_mel_bins: int) -> torch.Tensor:
    """Kaldi's log-mel filter banks: 25 ms frames every 10 ms, only where a whole frame fits.

    Args:
        waveforms: (n, samples) float32.
        sampling_rate: samples per second.
        num_mel_bins: from 20 Hz up to half the sampling rate.

    Returns:
        (n, frames, mel bins) natural logarithm of the power, floored at float32's epsilon.
    """
    window, filters = kaldi_constants(sampling_rate, num_mel_bins)
    size, hop = len(window), round(HOP_SECONDS * sampling_rate)
    if waveforms.shape[1] < size:
        return waveforms.new_zeros(len(waveforms), 0, num_mel_bins)
    frames = waveforms.unfold(1, size, hop)
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    spectrum = torch.fft.rfft((frames - PREEMPHASIS * before) * window, n=transform_size(size)).abs().square()
    return (spectrum @ filters).clamp(min=torch.finfo(torch.float32).eps).log()


class VideoLlamaFeatureExtractor(SequenceFeatureExtractor):
    r"""Sounds to `input_features` for Video-LLaMA.

    Args:
        feature_size (`int`, *optional*, defaults to 128):
            Mel bins.
        sampling_rate (`int`, *optional*, defaults to 16000):
            Rate to which every sound is brought, in hertz.
        padding_value (`float`, *optional*, defaults to 0.0):
            Of frames that a short sound lacks, before normalisation.
        num_clips (`int`, *optional*, defaults to 8):
            Clips per sound.
        clip_seconds (`float`, *optional*, defaults to 2.0):
            Length of a clip.
        num_mel_frames (`int`, *optional*, defaults to 204):
            Frames to which every clip is padded or cut.
        mean (`float`, *optional*, defaults to -4.268):
            Taken off every value.
        std (`float`, *optional*, defaults to 9.138):
            Divides every value.
        missing_audio (`str`, *optional*, defaults to `"error"`):
            What a source without sound that can be decoded is: an `"error"`, or `"silence"`.
    """

    model_input_names = ["input_features"]
    valid_kwargs = VideoLlamaAudioKwargs

    def __init__(
        self,
        feature_size: int = 128,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        num_clips: int = 8,
        clip_seconds: float = 2.0,
        num_mel_frames: int = 204,
        mean: float = -4.268,
        std: float = 9.138,
        missing_audio: str = "error",
        **kwargs: Any,
    ):
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.num_clips = num_clips
        self.clip_seconds = clip_seconds
        self.num_mel_frames = num_mel_frames
        self.mean = mean
        self.std = std
        self.missing_audio = missing_audio

    def fetch_audio(self, audio_url_or_urls: Any, sampling_rate: int | None = None) -> Any:
        """Leaves sources to `__call__`, which reads of them what it keeps."""
        return accept_sounds(audio_url_or_urls)

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        missing_audio: str | None = None,
        limits: dict[str, Any] | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Reads sounds and computes their spectrograms.

        Args:
            raw_speech: a sound or a list of sounds. A sound is a path or URL of a video or sound file, its bytes, a
                binary file object, or samples: (samples,) or (channels, samples) floats at full scale from -1 to 1,
                or signed integers at theirs.
            sampling_rate: of samples, in hertz; by default the extractor's. Files know their own.
            missing_audio: see the class.
            limits: fields of `video_errors.VideoLimits` that differ from its defaults.
            return_tensors: "pt" or "np".
            kwargs: options of other extractors (padding, truncation, ...); every sound has one size here.

        Returns:
            `input_features` (sounds, clips, 1, mel bins, mel frames) float32, normalised.

        Raises:
            AudioError: a subclass says whether a source holds no sound (`NoAudioStreamError`), cannot be opened
                (`AudioOpenError`) or decoded (`AudioDecodeError`); not with `missing_audio="silence"`.
            VideoSourceError: a source does not exist, or is no source at all.
            ValueError: `missing_audio` is neither of its two values.
        """
        missing_audio = missing_audio or self.missing_audio
        if missing_audio not in MISSING_AUDIO:
            raise ValueError(f"missing_audio must be one of {', '.join(MISSING_AUDIO)}, got {missing_audio!r}.")
        sounds = accept_sounds(raw_speech)
        if not isinstance(sounds, (list, tuple)) or (sounds and isinstance(sounds[0], float)):
            sounds = [sounds]
        sampling_rate = sampling_rate or self.sampling_rate
        clips = [self._listen(sound, sampling_rate, missing_audio, limits) for sound in sounds]
        features = torch.stack([self._features(torch.from_numpy(clip)) for clip in clips])
        return BatchFeature({"input_features": features.numpy()}, tensor_type=return_tensors)

    def _listen(self, sound: Any, sampling_rate: int, missing_audio: str, limits: dict[str, Any] | None) -> np.ndarray:
        """The clips of one sound: (clips, samples) float32 of its first channel, fewer samples in a short sound."""
        try:
            with open_sound(sound, sampling_rate, limits) as opened:
                return self._cut(opened)
        except AudioError:
            if missing_audio != "silence" or not isinstance(sound, SoundPayload):
                raise
            return np.zeros((self.num_clips, round(self.clip_seconds * self.sampling_rate)), np.float32)

    def _cut(self, sound: AudioReader | AudioSamples) -> np.ndarray:
        length = resampled_length(sound.num_samples, sound.sampling_rate, self.sampling_rate)
        wanted = clip_stretches(length / self.sampling_rate, self.num_clips, self.clip_seconds, self.sampling_rate)
        wanted = [(start, min(stop, length)) for start, stop in wanted]
        kept = union(wanted)
        arrays = read_resampled(sound, kept, self.sampling_rate)
        clips = []
        # One by one on the same arrays: a clip hears what earlier ones took off where they overlap.
        for start, stop in wanted:
            begin, array = next(
                (first, array) for (first, end), array in zip(kept, arrays, strict=True) if first <= start < end
            )
            clip = array[:, start - begin : stop - begin]
            clip -= clip.mean()
            clips.append(clip[0].copy())
        return np.stack(clips)

    def _features(self, clips: torch.Tensor) -> torch.Tensor:
        """(clips, samples) -> (clips, 1, mel bins, mel frames)."""
        mel = kaldi_mel(clips, self.sampling_rate, self.feature_size).transpose(1, 2)
        missing = self.num_mel_frames - mel.shape[-1]
        mel = torch.nn.functional.pad(mel, (0, missing), value=self.padding_value)  # cuts where negative
        return ((mel - self.mean) / self.std).unsqueeze(1)


__all__ = [
    "SoundPayload",
    "VideoLlamaAudioKwargs",
    "VideoLlamaFeatureExtractor",
    "accept_sounds",
    "clip_stretches",
    "clip_times",
    "kaldi_mel",
]
