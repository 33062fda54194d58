# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Questions about scenes, in a handful of phrasings each, with one-word answers that follow from the scene."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from video_lmms.data.scenes import COLOURS, DIRECTIONS, SHAPES, Scene, Thing
from video_lmms.data.sounds import PITCHES


NUMBERS = ("one", "two", "three", "four")
MOMENTS = ("beginning", "middle", "end")

# {noun} stands for "circle", "red circle", "object", ...; {a} and {b} are the two alternatives of an order question.
PHRASINGS: dict[str, tuple[str, ...]] = {
    "direction": (
        "Which way does the {noun} move?",
        "Which way is the {noun} moving?",
        "Which way does the {noun} go?",
        "In which direction does the {noun} move?",
        "What direction is the {noun} moving in?",
        "Which direction does the {noun} travel?",
        "What is the direction of the {noun}?",
        "Where is the {noun} going?",
        "Does the {noun} move left, right, up or down?",
    ),
    "colour": (
        "What colour is the {noun}?",
        "Which colour is the {noun}?",
        "What is the colour of the {noun}?",
        "What colour does the {noun} have?",
        "Name the colour of the {noun}.",
        "What colour is it?",
    ),
    "shape": (
        "What shape is the {noun}?",
        "Which shape is the {noun}?",
        "What is the shape of the {noun}?",
        "What shape does the {noun} have?",
        "What kind of shape is it?",
        "What shape is it?",
        "Which shape is moving?",
        "Which shape do you see?",
    ),
    "order": (
        "Which {aspect} appears {rank}?",
        "What {aspect} comes {rank}?",
        "Which {aspect} do you see {rank}?",
        "Which appears {rank}, {a} or {b}?",
        "What comes {rank}, {a} or {b}?",
        "Which one appears {rank}: {a} or {b}?",
        "What appears {rank}: {a} or {b}?",
    ),
    "count": (
        "How many shapes are there?",
        "How many objects do you see?",
        "How many things are there?",
        "What is the number of shapes?",
        "Count the shapes.",
    ),
    "when": (
        "When does the {noun} appear?",
        "When do you see the {noun}?",
        "Does the {noun} appear at the beginning, in the middle or at the end?",
        "In which part of the video does the {noun} appear?",
        "In which part of the clip does the {noun} appear?",
    ),
    "needle": (
        "What colour is the shape that appears briefly?",
        "Which colour appears only for a moment?",
        "What is the colour of the object that flashes?",
        "What colour flashes?",
    ),
}
# Apart, because the words of `vocabulary` are those of the questions above, in every tokenizer that is made of them.
SOUND_PHRASINGS: dict[str, tuple[str, ...]] = {
    "pitch": (
        "Is the tone low, medium or high?",
        "Is the sound low, medium or high?",
        "What pitch does the tone have?",
        "What is the pitch of the sound?",
        "Which pitch do you hear?",
        "How high is the tone?",
        "Name the pitch of the tone.",
    ),
    "tone_order": (
        "Which pitch do you hear {rank}?",
        "What pitch comes {rank}?",
        "Which tone is {rank}, {a} or {b}?",
        "What do you hear {rank}, a {a} or a {b} tone?",
        "Which tone sounds {rank}: the {a} one or the {b} one?",
        "What is the pitch of the {rank} tone?",
    ),
}
# Answered by one of several episodes of a longer clip; in words of the questions above alone.
EPISODE_PHRASINGS: dict[str, tuple[str, ...]] = {
    "episode_colour": (
        "What colour is the {noun} moving {direction}?",
        "Which colour is moving {direction}?",
        "What is the colour of the {noun} that is moving {direction}?",
        "Name the colour of the {noun} moving {direction}.",
        "What colour does the {noun} have that is moving {direction}?",
    ),
    "episode_shape": (
        "Which shape is moving {direction}?",
        "What shape is moving {direction}?",
        "What is the shape of the {noun} moving {direction}?",
        "What kind of shape is moving {direction}?",
        "What shape does the {noun} have that is moving {direction}?",
    ),
}
VISIBLE_TYPES = tuple(PHRASINGS)
AUDIBLE_TYPES = tuple(SOUND_PHRASINGS)
EPISODE_TYPES = tuple(EPISODE_PHRASINGS)
QUESTION_TYPES = VISIBLE_TYPES + AUDIBLE_TYPES + EPISODE_TYPES
OPENINGS = ("", "", "", "", "Please tell me: ", "In this clip, ", "Watch the video. ", "Look at the clip: ")
CLOSINGS = ("", "", "", "", " Answer in one word.", " Use one word.")
RANKS = {"first": 0, "second": 1, "last": 1}


@dataclass(frozen=True)
class Question:
    """A question of one type, and the one word that answers it.

    `span` (first, end) tells which part of the clip holds the answer, as fractions of its length, where only a part
    does.
    """

    kind: str
    text: str
    answer: str
    span: tuple[float, float] | None = None


def answers_of(kind: str) -> tuple[str, ...]:
    """Every word that can answer a question of this type."""
    table = {
        "direction": tuple(DIRECTIONS),
        "colour": tuple(COLOURS),
        "shape": SHAPES,
        "order": tuple(COLOURS) + SHAPES,
        "count": NUMBERS,
        "when": MOMENTS,
        "needle": tuple(COLOURS),
        "pitch": tuple(PITCHES),
        "tone_order": tuple(PITCHES),
        "episode_colour": tuple(COLOURS),
        "episode_shape": SHAPES,
    }
    if kind not in table:
        raise ValueError(f"Unknown question type {kind!r}; choose one of {', '.join(QUESTION_TYPES)}.")
    return table[kind]


def ask(scene: Scene, kind: str, rng: np.random.Generator) -> Question:
    """A question of type `kind` about the scene, its phrasing drawn from `rng`.

    Raises ValueError when the type is unknown or the scene cannot answer it truthfully.
    """
    answer_words = answers_of(kind)
    fields, answer = _FILLERS[kind](scene, rng)
    if answer not in answer_words:
        raise ValueError(f"A {kind} question has no truthful one-word answer in this scene (found {answer!r}).")
    moving = any(thing.direction for thing in scene.things)
    known = (PHRASINGS | SOUND_PHRASINGS | EPISODE_PHRASINGS)[kind]
    phrasings = [text for text in known if moving or "moving" not in text]
    text = str(rng.choice(phrasings)).format(**fields)
    episodes = [thing for thing in scene.things if thing.direction == fields.get("direction", "")]
    span = (episodes[0].appears, episodes[0].vanishes) if episodes else None
    return Question(kind=kind, text=_decorate(text, rng), answer=answer, span=span)


def vocabulary() -> list[str]:
    """Every lower-case word and punctuation mark of questions about what is seen and of their answers, sorted."""
    texts = [text for group in PHRASINGS.values() for text in group] + list(OPENINGS) + list(CLOSINGS)
    texts += [word for kind in VISIBLE_TYPES for word in answers_of(kind)]
    return _words_of([*texts, *RANKS, *_PLAIN_NOUNS, "colour", "color", "shape"])


def sound_vocabulary() -> list[str]:
    """Every word of questions about what is heard and of their answers, sorted; some are in [`vocabulary`] too."""
    texts = [text for group in SOUND_PHRASINGS.values() for text in group]
    return _words_of([*texts, *RANKS, *(word for kind in AUDIBLE_TYPES for word in answers_of(kind))])


def _words_of(texts: Sequence[str]) -> list[str]:
    fields = re.compile(r"\{\w+\}")
    return sorted({token for text in texts for token in re.findall(r"\w+|[^\w\s]", fields.sub(" ", text).lower())})


_PLAIN_NOUNS = ("object", "shape", "thing")


def _only(scene: Scene, kind: str) -> Thing:
    if len(scene.things) != 1:
        raise ValueError(f"A {kind} question needs a scene with one thing; this one has {len(scene.things)}.")
    return scene.things[0]


def _noun(thing: Thing, rng: np.random.Generator, hidden: str = "") -> str:
    """A way to name the thing that does not give away the `hidden` attribute."""
    plain = str(rng.choice(_PLAIN_NOUNS))
    if hidden == "colour":
        return str(rng.choice((thing.shape, thing.shape, plain)))
    if hidden == "shape":
        other = str(rng.choice(("object", "thing")))
        return str(rng.choice((f"{thing.colour} {other}", f"{thing.colour} shape", other)))
    return str(
        rng.choice((thing.shape, thing.shape, f"{thing.colour} {thing.shape}", f"{thing.colour} {plain}", plain))
    )


def _order_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    things = sorted(scene.things, key=lambda thing: thing.appears)
    if len(things) != 2 or things[0].appears == things[1].appears:
        raise ValueError("An order question needs a scene with two things that appear at different times.")
    aspect = str(rng.choice(("colour", "shape")))
    words = [getattr(thing, aspect) for thing in things]
    if words[0] == words[1]:
        raise ValueError(f"Both things share the {aspect} {words[0]!r}; an order question could not tell them apart.")
    rank = str(rng.choice(("first", "first", "second", "last")))
    named = words if aspect == "colour" else [f"the {word}" for word in words]
    a, b = named if rng.random() < 0.5 else named[::-1]
    return {"aspect": aspect, "rank": rank, "a": a, "b": b}, words[RANKS[rank]]


def _when_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    thing = _only(scene, "when")
    return {"noun": _noun(thing, rng)}, MOMENTS[min(int(thing.appears * 3), 2)]


def _count_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    count = len(scene.things)
    return {}, NUMBERS[count - 1] if 1 <= count <= len(NUMBERS) else str(count)


def _needle_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    return {}, min(scene.things, key=lambda thing: thing.vanishes - thing.appears).colour


def _direction_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    thing = _only(scene, "direction")
    return {"noun": _noun(thing, rng)}, thing.direction or "nothing"


def _colour_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    thing = _only(scene, "colour")
    return {"noun": _noun(thing, rng, hidden="colour")}, thing.colour


def _shape_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    thing = _only(scene, "shape")
    return {"noun": _noun(thing, rng, hidden="shape")}, thing.shape


def _pitch_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    if len(scene.tones) != 1:
        raise ValueError(f"A pitch question needs a scene with one tone; this one has {len(scene.tones)}.")
    return {}, scene.tones[0].pitch


def _tone_order_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    tones = sorted(scene.tones, key=lambda tone: tone.starts)
    if len(tones) != 2 or tones[0].ends > tones[1].starts or tones[0].pitch == tones[1].pitch:
        raise ValueError("A tone_order question needs a scene with two tones of different pitch, one after the other.")
    rank = str(rng.choice(("first", "first", "second", "last")))
    words = [tone.pitch for tone in tones]
    a, b = words if rng.random() < 0.5 else words[::-1]
    return {"rank": rank, "a": a, "b": b}, words[RANKS[rank]]


def _episode(scene: Scene, rng: np.random.Generator) -> Thing:
    """A thing that its direction alone tells from the others."""
    directions = [thing.direction for thing in scene.things]
    if len(directions) < 2 or None in directions or len(set(directions)) < len(directions):
        raise ValueError(f"An episode question needs things that move in different directions; got {directions}.")
    return scene.things[int(rng.integers(len(scene.things)))]


def _episode_colour_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    thing = _episode(scene, rng)
    return {"noun": str(rng.choice(_PLAIN_NOUNS)), "direction": thing.direction or ""}, thing.colour


def _episode_shape_fields(scene: Scene, rng: np.random.Generator) -> tuple[dict[str, str], str]:
    thing = _episode(scene, rng)
    return {"noun": str(rng.choice(("object", "thing"))), "direction": thing.direction or ""}, thing.shape


_FILLERS = {
    "direction": _direction_fields,
    "colour": _colour_fields,
    "shape": _shape_fields,
    "order": _order_fields,
    "count": _count_fields,
    "when": _when_fields,
    "needle": _needle_fields,
    "pitch": _pitch_fields,
    "tone_order": _tone_order_fields,
    "episode_colour": _episode_colour_fields,
    "episode_shape": _episode_shape_fields,
}


def _decorate(text: str, rng: np.random.Generator) -> str:
    """The same question the way different people type it: American spelling, no question mark, more words."""
    if rng.random() < 0.5:
        text = text.replace("colour", "color")
    opening, closing = str(rng.choice(OPENINGS)), str(rng.choice(CLOSINGS))
    if opening and not opening.endswith(". "):
        text = text[0].lower() + text[1:]
    if not closing and rng.random() < 0.2:
        text = text.rstrip("?.")
    return opening + text + closing
