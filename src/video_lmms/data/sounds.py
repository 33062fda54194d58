# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Tones of different pitch: what is heard and when, as samples.

Times are fractions of the clip, as those of things that are seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


SAMPLING_RATE = 16000

# The range of fundamental frequencies, in hertz, that each word stands for.
PITCHES: dict[str, tuple[float, float]] = {
    "low": (160.0, 260.0),
    "medium": (600.0, 950.0),
    "high": (2200.0, 3400.0),
}

FADE_SECONDS = 0.01  # at both ends of a tone, against clicks


@dataclass(frozen=True)
class Tone:
    """One tone, heard from `starts` until `ends`.

    Attributes:
        pitch: the word for it.
        hertz: fundamental frequency.
        starts, ends: fractions of the clip.
        level: amplitude, 1 being full scale.
        overtones: amplitudes of the multiples of the fundamental, from the second on, relative to it.
    """

    pitch: str
    hertz: float
    starts: float = 0.0
    ends: float = 1.0
    level: float = 0.3
    overtones: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.pitch not in PITCHES:
            raise ValueError(f"Unknown pitch {self.pitch!r}; choose one of {', '.join(PITCHES)}.")
        if not 0.0 <= self.starts < self.ends <= 1.0:
            raise ValueError(f"A tone starts before it ends, both within [0, 1]; got {self.starts} and {self.ends}.")
        if not 0.0 < self.level * (1.0 + sum(self.overtones)) <= 1.0:
            raise ValueError(f"A tone must be heard and stay within full scale; got level {self.level}.")


def pick_tone(rng: np.random.Generator, pitch: str, starts: float, ends: float) -> Tone:
    """A random tone that deserves the name `pitch`."""
    hertz = float(np.exp(rng.uniform(*np.log(PITCHES[pitch]))))
    overtones = tuple(float(value) for value in rng.uniform(0.0, 0.3, size=int(rng.integers(0, 3))))
    return Tone(pitch, hertz, starts, ends, level=float(rng.uniform(0.1, 0.5)), overtones=overtones)


def render_sound(tones: Sequence[Tone], seconds: float, sampling_rate: int = SAMPLING_RATE) -> np.ndarray:
    """The tones together: (samples,) float32, silent where there is none.

    Args:
        tones: that are heard.
        seconds: length of the clip.
        sampling_rate: samples per second.
    """
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    sound = np.zeros_like(time)
    for tone in tones:
        begin, end = tone.starts * seconds, tone.ends * seconds
        wave = sum(
            level * np.sin(2 * np.pi * tone.hertz * number * time)
            for number, level in enumerate((1.0, *tone.overtones), 1)
            if tone.hertz * number < sampling_rate / 2
        )
        fade = np.clip(np.minimum(time - begin, end - time) / FADE_SECONDS, 0.0, 1.0)
        sound += tone.level * fade * wave
    return sound.astype(np.float32)
