# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Frame pairs of the synthetic world with the motion between them, which is known exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from video_lmms.data.scenes import COLOURS, SHAPES, Scene, Thing, pick_rgb, render_frame, shape_mask


def crowd_scene(rng: np.random.Generator, reach: float = 0.17) -> Scene:
    """Two frames full of things that go different ways, so that one pair teaches many motions.

    `reach` bounds how far anything goes along either axis, as a fraction of the side.
    """
    things = []
    for _ in range(int(rng.integers(5, 10))):
        colour = str(rng.choice(tuple(COLOURS)))
        start = rng.uniform(0.0, 1.0, size=2)
        end = start + rng.uniform(-reach, reach, size=2)
        path = tuple((time, float(x), float(y)) for time, (x, y) in ((0.0, start), (0.5, end)))
        things.append(
            Thing(str(rng.choice(SHAPES)), colour, pick_rgb(colour, rng), float(rng.uniform(0.12, 0.22)), path)
        )
    grey = int(rng.integers(0, 70))
    return Scene(things=tuple(things), background=(grey, grey, grey), num_frames=2)


def true_flow(scene: Scene, first: int, second: int) -> np.ndarray:
    """Displacement of every pixel of frame `first` until frame `second`: (2, size, size) float32, x then y.

    The background rests. A thing that is not seen in both frames has no motion that could be told: zero.
    """
    flow = np.zeros((2, scene.size, scene.size), dtype=np.float32)
    times = first / scene.num_frames, second / scene.num_frames
    for thing in scene.things:
        seen = [thing.appears <= time < thing.vanishes for time in times]
        if not seen[0]:
            continue
        before, after = (np.asarray(thing.position(time)) for time in times)
        moved = (after - before) * scene.size if seen[1] else np.zeros(2)
        # Edges are soft; a pixel belongs to what covers most of it.
        covered = shape_mask(thing.shape, (float(before[0]), float(before[1])), thing.radius, scene.size) > 0.5
        flow[:, covered] = moved[:, None]
    return flow


def flow_pairs(scenes: Sequence[Scene], step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All frames `step` apart that follow one another.

    Args:
        scenes: of one size.
        step: frames between the two of a pair.

    Returns:
        first and second frames (n, 3, size, size) uint8, and the flow between them (n, 2, size, size) float32.
    """
    firsts, seconds, flows = [], [], []
    for scene in scenes:
        numbers = range(0, scene.num_frames, step)
        frames = [render_frame(scene, number).transpose(2, 0, 1) for number in numbers]
        firsts += frames[:-1]
        seconds += frames[1:]
        flows += [true_flow(scene, number, number + step) for number in numbers[:-1]]
    return np.stack(firsts), np.stack(seconds), np.stack(flows)
