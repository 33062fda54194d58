# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Longer clips of which a short span answers the question, and the motion between their frames."""

import re

import numpy as np
import pytest

from video_lmms.data.motion import flow_pairs, true_flow
from video_lmms.data.questions import EPISODE_PHRASINGS, EPISODE_TYPES, ask, vocabulary
from video_lmms.data.scenes import COLOURS, DIRECTIONS, Scene, Thing, render, render_frame
from video_lmms.data.world import draw_samples, moving_scene, write_rows


def shown(scene, frame):
    """(height, width) mask of what differs from the background."""
    return np.abs(frame.astype(int) - np.asarray(scene.background)).max(-1) > 20


def centre(scene, frame):
    rows, columns = np.nonzero(shown(scene, frame))
    return columns.mean(), rows.mean()


def word_of(question):
    """The direction that the question names."""
    (word,) = DIRECTIONS.keys() & set(re.findall(r"\w+", question.text.lower()))
    return word


@pytest.fixture(scope="module")
def samples():
    return draw_samples(11, 12, EPISODE_TYPES, turns=2)


def test_the_span_shows_the_answer_and_nothing_else_does(samples):
    for sample in samples:
        frames = render(sample.scene)
        times = np.arange(len(frames)) / len(frames)
        for question in sample.questions:
            (thing,) = [thing for thing in sample.scene.things if thing.direction == word_of(question)]
            inside = (times >= question.span[0]) & (times < question.span[1])
            assert 8 <= inside.sum() <= 40
            assert question.answer == (thing.colour if question.kind == "episode_colour" else thing.shape)
            for frame, is_inside in zip(frames, inside, strict=True):
                pixels = frame[shown(sample.scene, frame)]
                distance = np.abs(pixels.astype(int) - np.asarray(thing.rgb)).max(-1).min()
                assert (distance <= 1) == is_inside


def test_things_move_the_way_the_question_says(samples):
    for sample in samples:
        frames = render(sample.scene)
        for thing in sample.scene.things:
            first, end = (round(time * len(frames) + 0.5) for time in (thing.appears, thing.vanishes))
            start, stop = (centre(sample.scene, frames[number]) for number in (first, end - 1))
            moved = np.subtract(stop, start) * np.asarray(DIRECTIONS[thing.direction])
            assert moved.sum() > 0.3 * sample.scene.size


def test_no_two_things_share_a_colour_or_a_direction(samples):
    for sample in samples:
        assert len({thing.colour for thing in sample.scene.things}) == 4
        assert {thing.direction for thing in sample.scene.things} == set(DIRECTIONS)


def test_questions_need_no_word_that_tokenizers_lack():
    words = set(vocabulary())
    for phrasings in EPISODE_PHRASINGS.values():
        for phrasing in phrasings:
            text = phrasing.format(noun="thing", direction="left").lower()
            assert set(re.findall(r"\w+|[^\w\s]", text)) <= words


def test_other_scenes_have_no_episodes():
    with pytest.raises(ValueError, match="things that move in different directions"):
        ask(moving_scene(np.random.default_rng(0)), "episode_colour", np.random.default_rng(0))


def test_rows_know_the_span(tmp_path):
    (episode,) = write_rows(draw_samples(0, 1, ("episode_shape",)), tmp_path / "a")
    assert 0 <= episode["span"][0] < episode["span"][1] <= 1
    (plain,) = write_rows(draw_samples(0, 1, ("count",)), tmp_path / "b")
    assert plain["span"] is None


def test_flow_is_where_the_thing_is_and_how_far_it_goes():
    thing = Thing("square", "red", COLOURS["red"][0], 0.2, ((0.0, 0.3, 0.5), (1.0, 0.8, 0.25)))
    scene = Scene(things=(thing,), num_frames=10, size=64)
    flow = true_flow(scene, 2, 6)
    covered = shown(scene, render_frame(scene, 2)) & (render_frame(scene, 2)[..., 0] > 140)
    assert (np.abs(flow).sum(0) > 0).sum() == pytest.approx(covered.sum(), rel=0.05)
    np.testing.assert_allclose(flow[:, 32, 26], [0.2 * 64, -0.1 * 64], rtol=1e-5)


def test_what_comes_or_goes_has_no_flow():
    thing = Thing("circle", "red", COLOURS["red"][0], 0.2, ((0.0, 0.3, 0.5), (1.0, 0.8, 0.5)), vanishes=0.5)
    scene = Scene(things=(thing,), num_frames=10)
    assert true_flow(scene, 3, 4).any()
    assert not true_flow(scene, 4, 5).any()
    assert not true_flow(scene, 5, 6).any()


def test_warping_by_the_flow_gives_the_next_frame(samples):
    """Pixels inside a thing keep their colour along the flow."""
    first, second, flow = flow_pairs([sample.scene for sample in samples[:3]], step=2)
    assert len(first) == 3 * 31
    pair, rows, columns = np.nonzero(np.abs(flow).sum(1) > 0)
    dx, dy = flow[pair, :, rows, columns].T
    there = second[pair, :, np.rint(rows + dy).astype(int), np.rint(columns + dx).astype(int)]
    difference = np.abs(there.astype(int) - first[pair, :, rows, columns]).max(-1)
    assert np.median(difference) == 0
    assert (difference < 20).mean() > 0.9
