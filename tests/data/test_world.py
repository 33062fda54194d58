"""The synthetic world: reproducible, and its answers are what its pixels show."""

import av
import numpy as np
import pytest

from video_lmms.data.questions import MOMENTS, QUESTION_TYPES, VISIBLE_TYPES, answers_of, ask, vocabulary
from video_lmms.data.scenes import COLOURS, Scene, Thing, render, write_clip
from video_lmms.data.world import (
    draw_samples,
    is_reserved,
    needle_scene,
    order_scene,
    to_messages,
    write_rows,
)


def shown(scene, frame):
    """(height, width) mask of what differs from the background."""
    return np.abs(frame.astype(int) - np.asarray(scene.background)).max(-1) > 20


def centre(scene, frame):
    rows, columns = np.nonzero(shown(scene, frame))
    return columns.mean(), rows.mean()


@pytest.mark.parametrize("kind", QUESTION_TYPES)
def test_samples_depend_on_their_arguments_alone(kind):
    first, again = (draw_samples(3, 4, (kind,)) for _ in range(2))
    assert first == again
    assert draw_samples(3, 2, (kind,)) == first[:2]
    assert draw_samples(4, 4, (kind,)) != first
    for sample in first:
        assert sample.questions[0].kind == kind
        assert sample.questions[0].answer in answers_of(kind)


def test_splits_keep_combinations_apart():
    for kind in QUESTION_TYPES:
        assert not any(is_reserved(sample.scene) for sample in draw_samples(0, 60, (kind,), "train"))
        assert all(is_reserved(sample.scene) for sample in draw_samples(0, 20, (kind,), "never_seen"))


def test_moments_are_kept_apart_evenly():
    """No answer about a moment can be told from a combination's absence in training."""
    for split in ("train", "never_seen"):
        answers = [sample.questions[0].answer for sample in draw_samples(0, 200, ("when",), split)]
        assert {answers.count(moment) >= 40 for moment in MOMENTS} == {True}


def test_unknown_splits_and_kinds_are_refused():
    with pytest.raises(ValueError, match="split"):
        draw_samples(0, 1, ("order",), "test")
    with pytest.raises(ValueError, match="kinds"):
        draw_samples(0, 1, ("smell",))


def test_direction_is_the_way_the_pixels_move():
    for sample in draw_samples(1, 24, ("direction",)):
        frames = render(sample.scene)
        (x0, y0), (x1, y1) = centre(sample.scene, frames[0]), centre(sample.scene, frames[-1])
        horizontal = abs(x1 - x0) > abs(y1 - y0)
        seen = ("right" if x1 > x0 else "left") if horizontal else ("down" if y1 > y0 else "up")
        assert sample.questions[0].answer == seen


def nearest_colour(rgb):
    """The colour whose anchors' hull lies nearest, by sampling it."""
    rng = np.random.default_rng(0)
    mixes = {
        name: rng.dirichlet(np.ones(len(anchors)), 200) @ np.asarray(anchors, float)
        for name, anchors in COLOURS.items()
    }
    return min(mixes, key=lambda name: np.abs(mixes[name] - rgb).sum(-1).min())


def test_colour_is_the_colour_of_the_pixels():
    for sample in draw_samples(2, 24, ("colour",)):
        frame = render(sample.scene)[len(render(sample.scene)) // 2]
        x, y = (round(float(value)) for value in centre(sample.scene, frame))
        assert sample.questions[0].answer == nearest_colour(frame[y, x])


def test_shape_is_the_outline_of_the_pixels():
    """Share of its bounding box that each shape fills: square 1, circle 0.79, triangle 0.5."""
    for sample in draw_samples(5, 24, ("shape",)):
        scene = sample.scene
        large = Scene(scene.things, scene.background, scene.num_frames, scene.fps, size=256)
        mask = shown(large, render(large)[0])
        rows, columns = np.nonzero(mask)
        filled = mask.sum() / ((np.ptp(rows) + 1) * (np.ptp(columns) + 1))
        expected = {"square": 1.0, "circle": np.pi / 4, "triangle": 0.5}
        assert min(expected, key=lambda shape: abs(expected[shape] - filled)) == sample.questions[0].answer


def test_the_first_thing_is_gone_when_the_second_comes():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scene = order_scene(rng)
        first, second = sorted(scene.things, key=lambda thing: thing.appears)
        assert first.vanishes <= second.appears
        frames = [shown(scene, frame).any() for frame in render(scene)]
        assert frames[-1]
        question = ask(scene, "order", rng)
        asked_first = "first" in question.text
        assert question.answer in ((first if asked_first else second).shape, (first if asked_first else second).colour)


def test_needle_shows_for_exactly_its_frames():
    scene = needle_scene(np.random.default_rng(1), num_frames=60, shown_frames=5)
    needle = scene.things[1]
    times = np.arange(60) / 60
    assert ((times >= needle.appears) & (times < needle.vanishes)).sum() == 5
    with pytest.raises(ValueError, match="shown_frames"):
        needle_scene(np.random.default_rng(1), num_frames=5, shown_frames=5)


def test_scenes_refuse_what_they_cannot_draw():
    thing = {"rgb": (1, 2, 3), "radius": 0.1, "path": ((0.0, 0.5, 0.5),)}
    with pytest.raises(ValueError, match="hexagon"):
        Thing("hexagon", "red", **thing)
    with pytest.raises(ValueError, match="mauve"):
        Thing("circle", "mauve", **thing)
    with pytest.raises(ValueError, match="even number"):
        Scene((), size=33)
    with pytest.raises(ValueError, match="needs a scene with one thing"):
        ask(Scene(()), "colour", np.random.default_rng(0))


def test_clips_are_real_video_files(tmp_path):
    (sample,) = draw_samples(0, 1, ("direction",))
    path, copy = (write_clip(sample.scene, tmp_path / name) for name in ("a.mp4", "b.mp4"))
    assert path.read_bytes() == copy.read_bytes()
    drawn = render(sample.scene)
    with av.open(str(path)) as container:
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == drawn.shape
    assert np.abs(decoded.astype(int) - drawn).mean() < 4


def test_rows_are_conversations(tmp_path):
    samples = draw_samples(0, 3, ("direction", "colour", "shape"), turns=3)
    rows = write_rows(samples, tmp_path)
    for row, sample in zip(rows, samples, strict=True):
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * 3
        assert row["answer"] == sample.questions[0].answer
        assert len({question.kind for question in sample.questions}) == 3
    assert to_messages(samples[0], "x.mp4")[0]["content"][0] == {"type": "video", "video": "x.mp4"}


def test_the_vocabulary_holds_every_word():
    import re

    words = set(vocabulary())
    for kind in VISIBLE_TYPES:
        for sample in draw_samples(9, 40, (kind,)):
            question = sample.questions[0]
            assert set(re.findall(r"\w+|[^\w\s]", f"{question.text} {question.answer}".lower())) <= words


def test_a_thing_at_rest_is_asked_for_more_than_its_moment():
    for sample in draw_samples(0, 30, ("when", "colour", "direction"), turns=2):
        (thing,) = sample.scene.things
        asked = {question.kind: question.answer for question in sample.questions}
        if "when" in asked:
            assert thing.direction is None
            assert asked["colour"] == thing.colour
