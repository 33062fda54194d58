# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The synthetic world: random scenes with questions, as clips on disk and as chat rows.

    samples = draw_samples(seed=0, count=100, kinds=("direction", "colour"), split="held_out")
    rows = write_rows(samples, "clips/")
    rows[0]["messages"]   # user: video + question; assistant: one word; and so on

A sample depends on (seed, its number, split, kinds) alone. The training split never shows some combinations of
attributes (`is_reserved`), so held-out accuracy can be read for seen and for never-seen combinations.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from video_lmms.data.questions import QUESTION_TYPES, Question, ask
from video_lmms.data.scenes import COLOURS, DIRECTIONS, SHAPES, Scene, Thing, pick_rgb, write_clip
from video_lmms.data.sounds import PITCHES, pick_tone


SPLITS = ("train", "held_out", "never_seen")

# A long clip with few frames, which a model that reads one frame per second sees half of.
EPISODE_FRAMES, EPISODE_FPS = 64, 2

# One in this many combinations of attributes is kept out of the training split.
RESERVED_ONE_IN = 8


@dataclass(frozen=True)
class Sample:
    """A scene and the questions asked about it, in the order of the conversation."""

    scene: Scene
    questions: tuple[Question, ...]


def moving_scene(rng: np.random.Generator) -> Scene:
    """One thing that crosses a good part of the canvas in one of the four directions."""
    direction = str(rng.choice(tuple(DIRECTIONS)))
    radius = float(rng.uniform(0.15, 0.21))
    margin = 1.3 * radius  # the triangle's bounding box is the largest
    room = 1.0 - 2.0 * margin
    travel = room * float(rng.uniform(0.75, 1.0))
    start = margin + (room - travel) * float(rng.random())
    across = margin + room * float(rng.random())
    drift = float(np.clip(across + rng.uniform(-0.1, 0.1) * travel, margin, 1.0 - margin))
    dx, dy = DIRECTIONS[direction]
    along = (start, start + travel) if dx + dy > 0 else (start + travel, start)
    ends = tuple(zip(along, (across, drift), strict=True)) if dx else tuple(zip((across, drift), along, strict=True))
    leaves, arrives = float(rng.uniform(0.0, 0.2)), float(rng.uniform(0.75, 1.0))
    path = tuple((time, float(x), float(y)) for time, (x, y) in zip((leaves, arrives), ends, strict=True))
    background = _background(rng)
    return _framed(rng, (_thing(rng, radius=radius, path=path),), background)


def order_scene(rng: np.random.Generator) -> Scene:
    """Two things of different shape and colour, one after the other; the first is gone when the second comes."""
    shapes, colours = rng.permutation(SHAPES)[:2], rng.permutation(tuple(COLOURS))[:2]
    first_appears, first_vanishes = float(rng.uniform(0.0, 0.1)), float(rng.uniform(0.35, 0.5))
    spans = ((first_appears, first_vanishes), (float(rng.uniform(first_vanishes, 0.6)), 1.0))
    spots = _spots(rng, 2, radius=0.18)
    things = tuple(
        _thing(rng, str(shape), str(colour), float(rng.uniform(0.15, 0.18)), ((0.0, *spot),), *span)
        for shape, colour, spot, span in zip(shapes, colours, spots, spans, strict=True)
    )
    return _framed(rng, things, _background(rng))


def count_scene(rng: np.random.Generator) -> Scene:
    """One to four things at rest that do not touch."""
    spots = _spots(rng, int(rng.integers(1, 5)), radius=0.1)
    things = tuple(_thing(rng, radius=float(rng.uniform(0.07, 0.1)), path=((0.0, *spot),)) for spot in spots)
    return _framed(rng, things, _background(rng))


def when_scene(rng: np.random.Generator) -> Scene:
    """One thing at rest that appears in the first, the middle or the last third, away from the borders between."""
    third = int(rng.integers(3))
    appears = (float(rng.uniform(0.0, 0.15)), float(rng.uniform(0.4, 0.55)), float(rng.uniform(0.75, 0.85)))[third]
    (spot,) = _spots(rng, 1, radius=0.2)
    thing = _thing(rng, radius=float(rng.uniform(0.1, 0.2)), path=((0.0, *spot),), appears=appears)
    return _framed(rng, (thing,), _background(rng))


def needle_scene(
    rng: np.random.Generator, num_frames: int = 480, shown_frames: int = 12, fps: int = Scene.fps
) -> Scene:
    """A long clip in which one thing moves all the time and another, of another colour, flashes once.

    `shown_frames` of the `num_frames` frames show the needle.
    """
    if not 0 < shown_frames < num_frames:
        raise ValueError(f"shown_frames must lie between 0 and num_frames={num_frames}; got {shown_frames}.")
    colours = rng.permutation(tuple(COLOURS))[:2]
    hay_spot, needle_spot = _spots(rng, 2, radius=0.16)
    steps = np.linspace(0.0, 1.0, 9)
    wander = np.clip(np.asarray(hay_spot) + rng.uniform(-0.05, 0.05, size=(9, 2)), 0.15, 0.85)
    path = tuple((float(time), float(x), float(y)) for time, (x, y) in zip(steps, wander, strict=True))
    hay = _thing(rng, colour=str(colours[0]), radius=0.12, path=path)
    # Borders half-way between frames: rounding can neither add nor lose a frame.
    start = int(rng.integers(num_frames - shown_frames + 1))
    span = ((start - 0.5) / num_frames, (start + shown_frames - 0.5) / num_frames)
    needle = _thing(rng, colour=str(colours[1]), radius=0.16, path=((0.0, *needle_spot),), appears=span[0])
    things = (hay, replace(needle, vanishes=span[1]))
    return Scene(things=things, background=_background(rng), num_frames=num_frames, fps=fps)


def tone_scene(rng: np.random.Generator) -> Scene:
    """A moving thing, and one tone that is heard for most of the clip."""
    scene = moving_scene(rng)
    span = float(rng.uniform(0.0, 0.15)), float(rng.uniform(0.85, 1.0))
    return replace(scene, tones=(pick_tone(rng, str(rng.choice(tuple(PITCHES))), *span),))


def melody_scene(rng: np.random.Generator) -> Scene:
    """A moving thing, and two tones of different pitch, one after the other."""
    scene = moving_scene(rng)
    change = float(rng.uniform(0.4, 0.6))
    spans = (float(rng.uniform(0.0, 0.1)), change), (change, float(rng.uniform(0.9, 1.0)))
    pitches = rng.permutation(tuple(PITCHES))[:2]
    tones = tuple(pick_tone(rng, str(pitch), *span) for pitch, span in zip(pitches, spans, strict=True))
    return replace(scene, tones=tones)


def episodes_scene(rng: np.random.Generator) -> Scene:
    """A clip of half a minute in which one thing after the other crosses the canvas, each its own way.

    All four directions occur, in any order; no two things share a colour. The shortest episode takes an eighth.
    """
    shortest = 1 / 8
    lengths = shortest + (1 - 4 * shortest) * rng.dirichlet(np.full(4, 2.0))
    # Whole frames: the last of an episode and the first of the next are neighbours.
    borders = np.rint(np.concatenate([[0.0], np.cumsum(lengths)]) * EPISODE_FRAMES)
    things = []
    for number, direction in enumerate(rng.permutation(tuple(DIRECTIONS))):
        first, end = (float(borders[number + later] - 0.5) / EPISODE_FRAMES for later in (0, 1))
        things.append(_crossing(rng, str(direction), (first, end)))
    colours = rng.permutation(tuple(COLOURS))[:4]
    things = [
        replace(thing, colour=str(colour), rgb=pick_rgb(str(colour), rng))
        for thing, colour in zip(things, colours, strict=True)
    ]
    return Scene(things=tuple(things), background=_background(rng), num_frames=EPISODE_FRAMES, fps=EPISODE_FPS)


SCENE_MAKERS = {
    "moving": moving_scene,
    "order": order_scene,
    "count": count_scene,
    "when": when_scene,
    "needle": needle_scene,
    "tone": tone_scene,
    "melody": melody_scene,
    "episodes": episodes_scene,
}

# Which scene each question type is asked about.
SCENE_OF = {
    "direction": "moving",
    "colour": "moving",
    "shape": "moving",
    "order": "order",
    "count": "count",
    "when": "when",
    "needle": "needle",
    "pitch": "tone",
    "tone_order": "melody",
    "episode_colour": "episodes",
    "episode_shape": "episodes",
}
# Scenes in which another scene's things are seen too, so that its questions can be asked about them.
SHOWS_TOO = {"tone": "moving", "melody": "moving"}
# Single types that a scene answers besides. Otherwise a model could guess the question from the scene.
ANSWERS_TOO = {"when": ("colour", "shape")}


def is_reserved(scene: Scene) -> bool:
    """Whether this combination of attributes is kept out of the training split: shapes, colours and directions in
    order of appearance, or shape, colour and third of the clip for a thing that is alone and at rest."""
    things = sorted(scene.things, key=lambda thing: thing.appears)
    attributes = [[thing.shape, thing.colour, thing.direction] for thing in things]
    if len(things) == 1 and things[0].direction is None:
        attributes.append([int(things[0].appears * 3)])
    key = json.dumps(attributes)
    return zlib.crc32(key.encode()) % RESERVED_ONE_IN == 0


def draw_sample(rng: np.random.Generator, kinds: Sequence[str], split: str = "train", turns: int = 1) -> Sample:
    """A random scene with `turns` questions whose types all come from `kinds` and fit that scene.

    `split` is "train" (no reserved combination), "never_seen" (only reserved ones) or "held_out" (either). Raises
    ValueError on an unknown split or question type.
    """
    unknown = [kind for kind in kinds if kind not in SCENE_OF]
    if unknown or not kinds:
        raise ValueError(f"kinds must name question types out of {', '.join(QUESTION_TYPES)}; got {list(kinds)}.")
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; choose one of {', '.join(SPLITS)}.")
    first = str(rng.choice(tuple(kinds)))
    scene = SCENE_MAKERS[SCENE_OF[first]](rng)
    while split != "held_out" and is_reserved(scene) != (split == "never_seen"):
        scene = SCENE_MAKERS[SCENE_OF[first]](rng)
    shown = (SCENE_OF[first], SHOWS_TOO.get(SCENE_OF[first]))
    besides = ANSWERS_TOO.get(SCENE_OF[first], ())
    fitting = [kind for kind in kinds if SCENE_OF[kind] in shown or kind in besides]
    others = [str(kind) for kind in rng.permutation([kind for kind in fitting if kind != first])]
    # Different types first; then types repeat, in another phrasing.
    asked = [first, *others, *(str(rng.choice(fitting)) for _ in range(turns))][:turns]
    return Sample(scene=scene, questions=tuple(ask(scene, kind, rng) for kind in asked))


def draw_samples(seed: int, count: int, kinds: Sequence[str], split: str = "train", turns: int = 1) -> list[Sample]:
    """`count` samples; the same arguments give the same samples, and a longer list begins with the shorter one."""
    streams = [np.random.default_rng([seed, SPLITS.index(split) if split in SPLITS else 0, n]) for n in range(count)]
    return [draw_sample(rng, kinds, split=split, turns=turns) for rng in streams]


def draw_long_samples(
    seed: int, count: int, split: str = "train", seconds: tuple[float, float] = (10.0, 40.0), fps: int = 2
) -> list[Sample]:
    """`count` needle clips of every length between `seconds`, short ones more often; a needle stays a second or two.

    Few frames per second keep an hour's file small. Arguments are as for [`draw_samples`].
    """
    samples = []
    for number in range(count):
        rng = np.random.default_rng([seed, SPLITS.index(split), number])
        num_frames = round(fps * float(np.exp(rng.uniform(*np.log(seconds)))))
        while True:
            scene = needle_scene(rng, num_frames, shown_frames=int(rng.integers(fps, 2 * fps + 1)), fps=fps)
            if split == "held_out" or is_reserved(scene) == (split == "never_seen"):
                break
        samples.append(Sample(scene=scene, questions=(ask(scene, "needle", rng),)))
    return samples


def to_messages(sample: Sample, video: str | Path) -> list[dict[str, Any]]:
    """The sample as a conversation: the video goes before the first question, and its sound, where it has one, before
    the video."""
    messages = []
    for number, question in enumerate(sample.questions):
        content = [{"type": "text", "text": question.text}]
        if number == 0:
            content.insert(0, {"type": "video", "video": str(video)})
            if sample.scene.tones:
                content.insert(0, {"type": "audio", "audio": str(video)})
        messages.append({"role": "user", "content": content})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": question.answer}]})
    return messages


def write_rows(samples: Sequence[Sample], folder: str | Path) -> list[dict[str, Any]]:
    """Writes one mp4 per sample into `folder` and returns rows with `messages`, `kind`, `answer` and `span` (of the
    first question)."""
    folder = Path(folder)
    rows = []
    for number, sample in enumerate(samples):
        path = write_clip(sample.scene, folder / f"{number:05d}.mp4")
        first = sample.questions[0]
        facts = {"kind": first.kind, "answer": first.answer, "span": first.span}
        rows.append({"messages": to_messages(sample, path)} | facts)
    return rows


def _background(rng: np.random.Generator) -> tuple[int, int, int]:
    """A dark grey."""
    grey = int(rng.integers(0, 70))
    return grey, grey, grey


def _thing(
    rng: np.random.Generator,
    shape: str | None = None,
    colour: str | None = None,
    radius: float = 0.15,
    path: tuple[tuple[float, float, float], ...] = ((0.0, 0.5, 0.5),),
    appears: float = 0.0,
    vanishes: float = 1.0,
) -> Thing:
    """A thing whose unnamed attributes are drawn at random."""
    shape = str(rng.choice(SHAPES)) if shape is None else shape
    colour = str(rng.choice(tuple(COLOURS))) if colour is None else colour
    return Thing(shape, colour, pick_rgb(colour, rng), radius, path, appears, vanishes)


def _crossing(rng: np.random.Generator, direction: str, span: tuple[float, float]) -> Thing:
    """A thing that crosses a good part of the canvas within `span`, and is not seen before or after."""
    radius = float(rng.uniform(0.15, 0.21))
    margin = 1.3 * radius
    room = 1.0 - 2.0 * margin
    travel = room * float(rng.uniform(0.8, 1.0))
    start = margin + (room - travel) * float(rng.random())
    across = margin + room * float(rng.random())
    dx, dy = DIRECTIONS[direction]
    along = (start, start + travel) if dx + dy > 0 else (start + travel, start)
    ends = tuple((place, across) if dx else (across, place) for place in along)
    path = tuple((time, float(x), float(y)) for time, (x, y) in zip(span, ends, strict=True))
    return _thing(rng, radius=radius, path=path, appears=max(span[0], 0.0), vanishes=min(span[1], 1.0))


def _spots(rng: np.random.Generator, count: int, radius: float) -> list[tuple[float, float]]:
    """Centres whose bounding boxes (for this radius) neither touch one another nor the border."""
    reach = 1.3 * radius
    while True:
        spots = rng.uniform(reach, 1.0 - reach, size=(count, 2))
        gaps = np.abs(spots[:, None] - spots[None]).max(axis=-1) + np.eye(count)
        if gaps.min() > 2.0 * reach:
            return [(float(x), float(y)) for x, y in spots]


def _framed(rng: np.random.Generator, things: tuple[Thing, ...], background: tuple[int, int, int]) -> Scene:
    """A clip of two to three seconds."""
    return Scene(things=things, background=background, num_frames=int(rng.integers(16, 25)))
