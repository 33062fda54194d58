# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Sound at another sampling rate, by windowed-sinc interpolation with the constants that torchaudio made common.

A sample of the new sound depends on a few dozen of the old one, so stretches are resampled without the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, gcd

import numpy as np

from .audio_reader import AudioReader, AudioSamples, Stretch


LOWPASS_WIDTH = 6  # zero crossings of the sinc on either side
ROLLOFF = 0.99  # cut-off, as a share of the lower of both Nyquist frequencies
BLOCK = 2**15  # new samples computed at once


def resampled_length(length: int, rate: int, new_rate: int) -> int:
    """Samples that `length` samples become."""
    return -(-length * new_rate // rate)


@lru_cache(maxsize=8)
def sinc_taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """The filter, for rates without a common divisor.

    Returns:
        where the taps lie, in old samples from the one at or before the new sample: (taps,) int64; and their weights
        for each of the `new` places that a new sample can take between two old ones: (new, taps) float32.
    """
    cutoff = ROLLOFF * min(old, new)
    width = ceil(LOWPASS_WIDTH * old / cutoff)
    taps = np.arange(-width, width + 2)
    between = np.arange(new) * old % new  # in 1 / new of an old sample
    distance = (taps * new - between[:, None]) / (old * new) * cutoff
    window = np.cos(np.clip(distance / LOWPASS_WIDTH, -1, 1) * np.pi / 2) ** 2
    return taps, (np.sinc(distance) * window * (cutoff / old)).astype(np.float32)


def resample(samples: np.ndarray, first: int, stretch: Stretch, rate: int, new_rate: int) -> np.ndarray:
    """Computes a stretch of the new sound.

    Args:
        samples: (channels, n) float32 of the old sound, from sample `first` on; silence lies outside.
        first: see `samples`.
        stretch: in samples of the new sound.
        rate: of the old sound.
        new_rate: of the new sound.

    Returns:
        (channels, samples of the stretch) float32.
    """
    divisor = gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    taps, weights = sinc_taps(old, new)
    parts = []
    for start in range(*stretch, BLOCK):
        places = np.arange(start, min(start + BLOCK, stretch[1]))
        sources = (places * old // new - first)[:, None] + taps
        inside = (sources >= 0) & (sources < samples.shape[1])
        values = samples[:, np.where(inside, sources, 0)]
        parts.append(np.einsum("cnt,nt->cn", values, weights[places % new] * inside))
    return np.concatenate(parts, axis=1) if parts else samples[:, :0]


def read_resampled(sound: AudioReader | AudioSamples, stretches: Sequence[Stretch], new_rate: int) -> list[np.ndarray]:
    """Reads stretches of a sound as they are at another rate.

    Args:
        sound: the sound.
        stretches: in samples at `new_rate`, within [0, `resampled_length`).
        new_rate: samples per second.

    Returns:
        One (channels, samples) float32 array per stretch.
    """
    rate = sound.sampling_rate
    if rate == new_rate:
        return sound.read(stretches)
    divisor = gcd(rate, new_rate)
    reach = len(sinc_taps(rate // divisor, new_rate // divisor)[0])
    needed = [
        (max(0, start * rate // new_rate - reach), min(sound.num_samples, stop * rate // new_rate + reach))
        for start, stop in stretches
    ]
    return [
        resample(samples, first, stretch, rate, new_rate)
        for samples, (first, _), stretch in zip(sound.read(needed), needed, stretches, strict=True)
    ]


__all__ = ["read_resampled", "resample", "resampled_length"]
