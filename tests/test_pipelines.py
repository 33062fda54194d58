# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`pipeline("video-text-to-text")` answers as the stock pipelines do."""

from __future__ import annotations

import clips
import pytest
import transformers
from tiny_models import TINY_MODELS, save_plainly

from video_lmms.pipelines import TASK, VideoTextToTextPipeline, ask, register
from video_lmms.processing.video_errors import VideoError
from video_lmms.processing.video_reader import VideoReader


QUESTION = "What do you see?"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    clips.encode(path, "libx264", rate=24, options=clips.X264)
    return str(path)


@pytest.fixture(scope="module", params=TINY_MODELS)
def folder(request, tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / request.param
    save_plainly(request.param, target)
    return target


@pytest.fixture(scope="module")
def pipe(folder):
    return transformers.pipeline(TASK, model=folder, device="cpu", max_new_tokens=4, do_sample=False)


def test_a_question_is_answered_as_by_the_stock_pipeline(pipe, folder, clip):
    assert isinstance(pipe, VideoTextToTextPipeline)
    stock = transformers.pipeline("any-to-any", model=folder, device="cpu", max_new_tokens=4, do_sample=False)
    expected = stock(text=ask(clip, QUESTION), return_full_text=False)[0]["generated_text"]
    assert pipe(clip, text=QUESTION)[0]["generated_text"] == expected
    assert pipe(ask(clip, QUESTION))[0]["generated_text"] == expected
    assert [answer[0]["generated_text"] for answer in pipe([clip, clip], text=QUESTION)] == [expected] * 2


def test_videos_come_in_any_form(pipe, clip):
    with open(clip, "rb") as file:
        content = file.read()
    by_path = pipe(clip, text=QUESTION)
    assert pipe(content, text=QUESTION)[0]["generated_text"] == by_path[0]["generated_text"]
    with VideoReader.open(clip) as reader:
        frames = reader.read(range(8))
    assert len(pipe(frames, text=QUESTION)) == 1
    assert len(pipe([frames, clip], text=[QUESTION, "How many?"])) == 2


def test_mistakes_are_named(pipe, clip):
    with pytest.raises(ValueError, match="needs a question"):
        pipe(clip)
    with pytest.raises(ValueError, match="2 videos and 3 questions"):
        pipe([clip, clip], text=[QUESTION] * 3)
    with pytest.raises(VideoError):
        pipe("missing.mp4", text=QUESTION)


def test_registering_again_changes_nothing(recwarn):
    registry = transformers.pipelines.PIPELINE_REGISTRY
    before = registry.supported_tasks[TASK]
    register()
    assert registry.supported_tasks[TASK] is before
    assert not recwarn
