# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Scenes of coloured shapes, with or without a sound track: what is where and when, as frames and as real video files.

Positions and radii are fractions of the canvas side (x to the right, y downwards), times are fractions of the clip,
so one scene can be drawn at any size and length.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from video_lmms.data.sounds import SAMPLING_RATE, Tone, render_sound


SHAPES = ("circle", "square", "triangle")

# Each name covers the triangle (or segment) between its anchors, so that both the pure primaries other people draw
# with and softer tones are the same word.
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((255, 0, 0), (215, 45, 45)),
    "green": ((0, 255, 0), (0, 128, 0), (45, 180, 70)),
    "blue": ((0, 0, 255), (45, 90, 230)),
    "yellow": ((255, 255, 0), (235, 210, 55)),
    "purple": ((128, 0, 128), (160, 60, 200)),
    "orange": ((255, 140, 0), (240, 150, 40)),
}

# Unit steps in image coordinates.
DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class Thing:
    """One shape. `path` holds (time, x, y) key points in order of time, joined by straight lines and held at both
    ends; the thing is drawn in frames whose time lies in [appears, vanishes)."""

    shape: str
    colour: str
    rgb: tuple[int, int, int]
    radius: float
    path: tuple[tuple[float, float, float], ...]
    appears: float = 0.0
    vanishes: float = 1.0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"Unknown shape {self.shape!r}; choose one of {', '.join(SHAPES)}.")
        if self.colour not in COLOURS:
            raise ValueError(f"Unknown colour {self.colour!r}; choose one of {', '.join(COLOURS)}.")
        if not self.path:
            raise ValueError("A thing needs at least one (time, x, y) point in its path.")

    def position(self, time: float) -> tuple[float, float]:
        """Centre (x, y) at `time`."""
        times, xs, ys = zip(*self.path, strict=True)
        return float(np.interp(time, times, xs)), float(np.interp(time, times, ys))

    @property
    def direction(self) -> str | None:
        """The word for the main axis of the whole movement, or None for a thing at rest."""
        (_, x0, y0), (_, x1, y1) = self.path[0], self.path[-1]
        dx, dy = x1 - x0, y1 - y0
        if dx == 0 and dy == 0:
            return None
        if abs(dx) > abs(dy):
            return "right" if dx > 0 else "left"
        return "down" if dy > 0 else "up"


@dataclass(frozen=True)
class Scene:
    """Things on a plain background; later things are drawn over earlier ones. Without tones a clip has no sound
    track."""

    things: tuple[Thing, ...]
    background: tuple[int, int, int] = (0, 0, 0)
    num_frames: int = 16
    fps: int = 8
    size: int = 64
    tones: tuple[Tone, ...] = ()

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.fps < 1:
            raise ValueError(f"A clip needs at least one frame and fps; got {self.num_frames} and {self.fps}.")
        if self.size < 16 or self.size % 2:
            raise ValueError(f"size must be an even number of pixels, at least 16 (h264 4:2:0); got {self.size}.")


def pick_rgb(colour: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """A random tone that deserves the name `colour`."""
    anchors = np.asarray(COLOURS[colour], dtype=np.float64)
    red, green, blue = rng.dirichlet(np.ones(len(anchors))) @ anchors
    return round(red), round(green), round(blue)


def shape_mask(shape: str, centre: tuple[float, float], radius: float, size: int) -> np.ndarray:
    """Coverage in [0, 1], (size, size) float32, with edges softened over one pixel. `centre` and `radius` are
    fractions of the side."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    dx, dy = axis[None, :] - centre[0], axis[:, None] - centre[1]
    if shape == "circle":
        distance = np.hypot(dx, dy) - radius
    elif shape == "square":
        distance = np.maximum(np.abs(dx), np.abs(dy)) - 0.886 * radius  # the same area as the circle
    elif shape == "triangle":
        # Point up, centred on its bounding box: the base line and two slanted sides.
        half = 1.25 * radius
        slanted = (2.0 * np.abs(dx) - (dy + half)) / np.sqrt(5.0, dtype=np.float32)
        distance = np.maximum(slanted, dy - half)
    else:
        raise ValueError(f"Unknown shape {shape!r}; choose one of {', '.join(SHAPES)}.")
    return np.clip(0.5 - distance * size, 0.0, 1.0).astype(np.float32)


def render_frame(scene: Scene, index: int) -> np.ndarray:
    """Frame `index` of the scene: (size, size, 3) uint8 RGB."""
    time = index / scene.num_frames
    canvas = np.empty((scene.size, scene.size, 3), dtype=np.float32)
    canvas[:] = scene.background
    for thing in scene.things:
        if thing.appears <= time < thing.vanishes:
            cover = shape_mask(thing.shape, thing.position(time), thing.radius, scene.size)[..., None]
            canvas += cover * (np.asarray(thing.rgb, dtype=np.float32) - canvas)
    return np.rint(canvas).astype(np.uint8)


def render(scene: Scene) -> np.ndarray:
    """All frames: (num_frames, size, size, 3) uint8 RGB."""
    return np.stack([render_frame(scene, index) for index in range(scene.num_frames)])


def write_clip(scene: Scene, path: str | Path, crf: int = 12) -> Path:
    """Draws the scene into an h264 mp4 file, one frame in memory at a time; its tones become a track of AAC.

    A low `crf` keeps the colours; a single encoder thread makes the file depend on the scene alone.
    """
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(scene.fps), options=options)
        stream.width = stream.height = scene.size
        stream.pix_fmt = "yuv420p"
        if scene.tones:
            track = container.add_stream("aac", rate=SAMPLING_RATE, layout="mono")
        for index in range(scene.num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(render_frame(scene, index), format="rgb24")))
        container.mux(stream.encode(None))
        if scene.tones:
            samples = render_sound(scene.tones, scene.num_frames / scene.fps)
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SAMPLING_RATE, 0
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path
