# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A model behind the runner: a benchmark's own frames, settings and subtitles reach it, and go again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import TINY_MODELS, save_plainly

from video_lmms.cli.answering import Answerer
from video_lmms.data.scenes import write_clip
from video_lmms.data.world import draw_samples
from video_lmms.evaluation.model_predictor import ModelPredictor
from video_lmms.evaluation.runner import prepared
from video_lmms.evaluation.tasks import TASKS, Sample
from video_lmms.processing.frame_sampling_longvu import half_fps_indices, mvbench_indices, rate_indices


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Two to three seconds at eight frames per second."""
    (drawn,) = draw_samples(0, 1, ("colour",))
    return write_clip(drawn.scene, tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture(scope="module")
def longvu() -> ModelPredictor:
    return ModelPredictor(Answerer("tiny-longvu", "cpu", None, False), max_new_tokens=2)


def question(clip: Path, **options: object) -> Sample:
    return Sample("1", clip, "What colour is it?", "A", ("red", "green", "blue"), **options)


def test_longvu_sees_what_its_scripts_showed(clip, longvu):
    own = longvu.own_settings["drop_threshold"]
    assert longvu.answerer.model.model.config is longvu.answerer.model.config
    found = {}
    sample = question(clip, details={"options": ["A. red", "B. green", "C. blue"]})
    for name in ("mvbench", "world", "videomme"):
        record = longvu.answer(TASKS[name], longvu.prepare(TASKS[name], sample))
        found[name] = (record["frames"][0], longvu.answerer.model.config.drop_threshold)
        assert record["num_video_tokens"] == record["chosen"][0]["visual_tokens"] > 0
    frames = found["world"][0]
    total = longvu.prepare(TASKS["world"], sample).prompt.videos[0]["num_frames"]
    assert found["mvbench"] == (mvbench_indices(total, 8.0), 0.8)
    assert found["world"] == (rate_indices(total, 8.0, 2.0), own)
    assert found["videomme"] == (half_fps_indices(total, 8.0), 0.65)
    assert len(frames) > 1


def test_fewer_frames_take_the_place_of_the_benchmarks(clip, longvu):
    few = ModelPredictor(longvu.answerer, max_new_tokens=2, num_frames=2)
    record = few.answer(TASKS["mvbench"], few.prepare(TASKS["mvbench"], question(clip)))
    assert len(record["frames"][0]) == 2


def test_subtitles_are_those_at_the_sampled_frames(clip):
    predictor = ModelPredictor(Answerer("tiny-pllava", "cpu", None, False), max_new_tokens=2)
    spoken = ((0.0, 0.4, "hello"), (0.4, 0.5, "unseen"), (1.1, 9.0, "red\\Nand blue"), (9.0, 9.5, "late"))
    sample = question(clip, subtitles=spoken)
    record = predictor.answer(TASKS["videomme_subtitles"], predictor.prepare(TASKS["videomme_subtitles"], sample))
    seen = record["times"][0]
    assert any(0.0 < second < 0.4 for second in seen)
    assert not any(0.4 < second < 0.5 for second in seen)
    assert "This video's subtitles are listed below:\nhello\nred and blue\nQuestion: What colour" in record["prompt"]
    silent = predictor.prepare(TASKS["videomme"], question(clip))
    assert "subtitles" not in silent.prompt.text


def test_the_next_sample_is_read_ahead_within_a_task_only():
    asked: list[str] = []

    class Recorder:
        def prepare(self, task, sample):
            asked.append(sample)
            return sample

    questions = [(TASKS["world"], "a"), (TASKS["world"], "b"), (TASKS["mlvu"], "c"), (TASKS["mlvu"], "d")]
    states = []
    for _, sample in prepared(Recorder(), questions):
        states.append((sample, asked[:] if sample == "b" else None))
    assert states == [("a", None), ("b", ["a", "b"]), ("c", None), ("d", None)]
    assert asked == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", TINY_MODELS)
def test_every_model_is_asked_and_recorded(name, clip, tmp_path):
    save_plainly(name, tmp_path)
    # One token per letter or two, in a context made for shorter words.
    room = 600 if name == "longvu" else None
    answerer = Answerer(str(tmp_path), "cpu", None, False)
    predictor = ModelPredictor(answerer, max_new_tokens=2, context_length=room)
    assert predictor.style.name == {"videotgb_t5": "plain"}.get(name, predictor.style.name)
    for task in ("mvbench", "msvd_qa", "vcg", "charades_sta"):
        sample = question(clip, start=0.25, end=1.75)
        record = predictor.answer(TASKS[task], predictor.prepare(TASKS[task], sample))
        assert isinstance(record["answer"], str)
        assert "What colour is it?" in record["prompt"]
        assert record["num_video_tokens"] > 0
        assert all(0.25 <= second <= 1.75 for second in record["times"][0]), task
        assert len(record["frames"][0]) == len(record["times"][0]) > 0
        assert ("chosen" in record) == (name in ("longvu", "videotgb", "videotgb_t5"))


def test_a_broken_file_is_an_answer_of_its_own(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    predictor = ModelPredictor(Answerer("tiny-pllava", "cpu", None, False))
    record = predictor.answer(TASKS["world"], predictor.prepare(TASKS["world"], question(tmp_path / "broken.mp4")))
    assert "broken.mp4" in record["error"]
    assert (record["answer"], record["frames"]) == ("", [])
