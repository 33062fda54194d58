# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`ask` and `estimate` for a model whose number of tokens depends on the video and on a budget."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_longvu
from clips import long_clip
from tiny_models import save_plainly
from transformers.video_utils import VideoMetadata

from video_lmms.estimation import estimate
from video_lmms.hub import load


QUESTION = "What moves?"


@pytest.fixture(scope="module")
def longvu(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "longvu"
    save_plainly("longvu", path)
    return path


@pytest.fixture(scope="module")
def minutes(tmp_path_factory):
    """Two minutes at ten frames per second."""
    return long_clip(tmp_path_factory.mktemp("clip"), frames=1200)


def asked(command, *words):
    result = command("ask", *words, "--max-new-tokens", 4, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_answer_is_that_of_all_frames_at_once(command, longvu, minutes):
    """`ask` reads in two passes; the plain way holds everything."""
    answer = asked(command, minutes, QUESTION, "--model", longvu)
    model, processor = load(longvu, device="cpu")
    parts = [{"type": "video"}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[str(minutes)], return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    expected = processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert answer["answer"] == expected
    (selection,) = model.expand_video_tokens(**inputs).video_selection
    (video,) = answer["videos"]
    assert video["sampled_frames"] == len(inputs["pixel_values_videos"])
    assert video["kept_frames"] == len(selection.frames) == len(video["frames_indices"])
    assert (video["stage"], video["visual_tokens"]) == (selection.stage, selection.num_tokens)
    text = inputs["input_ids"].shape[1] - 1
    assert answer["prompt_tokens"] == text + video["visual_tokens"] <= tiny_longvu.CONTEXT_LENGTH - 16


def test_the_context_length_is_an_option(command, longvu, minutes):
    sizes = {}
    for length in (80, 400, 1600):
        answer = asked(command, minutes, QUESTION, "--model", longvu, "--context-length", length)
        assert answer["prompt_tokens"] <= length - 16
        sizes[length] = answer["videos"][0]["visual_tokens"]
    assert sizes[80] < sizes[400] <= sizes[1600]


def test_two_videos_share_the_context(command, longvu, minutes):
    answer = asked(command, minutes, minutes, QUESTION, "--model", longvu)
    assert len(answer["videos"]) == 2
    assert answer["prompt_tokens"] <= tiny_longvu.CONTEXT_LENGTH - 16


@pytest.mark.parametrize(
    "words", [("ask", "CLIP", QUESTION, "--model", "tiny-pllava"), ("estimate", "tiny-pllava", "CLIP")]
)
def test_models_of_fixed_cost_refuse_it(command, minutes, words):
    result = command(*(minutes if word == "CLIP" else word for word in words), "--context-length", 100)
    assert result.exit_code == 2
    assert "tiny-pllava spends the same number of tokens on every video" in result.stderr


# Estimates


def clip_of(frames):
    return VideoMetadata(total_num_frames=frames, fps=1.0, width=64, height=48, duration=float(frames))


def estimated(frames, text_tokens=40, **options):
    config, processor = tiny_longvu.tiny_config(**options), tiny_longvu.tiny_processor().video_processor
    return estimate(config, processor, [clip_of(frames)], text_tokens=text_tokens)


@pytest.mark.parametrize("frames", [1, 5, 16, 24, 60, 150])
def test_an_estimate_is_an_upper_bound(frames):
    """Exact for what fits, and never less than a video of which nothing repeats needs."""
    model, processor = tiny_longvu.tiny_model(dino_threshold=10.0), tiny_longvu.tiny_processor()
    noise = np.random.default_rng(0).integers(0, 255, (frames, 48, 64, 3), dtype=np.uint8)
    inputs = processor(text="<image>\nWhat moves?", videos=[noise], return_tensors="pt")
    (selection,) = model.expand_video_tokens(**inputs).video_selection
    text = inputs["input_ids"].shape[1] - 1
    cost = estimated(frames, text_tokens=text).videos[0]
    assert cost.sampled_frames == frames
    assert cost.tokens >= selection.num_tokens
    if selection.keep.all() or selection.highres_frames is not None:
        assert cost.tokens == selection.num_tokens


def test_an_estimate_keeps_the_budget_and_streams():
    hour, ten = estimated(3600), estimated(600)
    assert hour.prompt_tokens == ten.prompt_tokens == tiny_longvu.CONTEXT_LENGTH - 16
    assert hour.memory["peak"] < 1.02 * ten.memory["peak"]
    assert hour.flops["vision"] > ten.flops["vision"]
    wide = estimated(3600, context_length=1000)
    assert tiny_longvu.CONTEXT_LENGTH < wide.prompt_tokens <= 1000 - 16


def test_the_command_says_that_it_is_a_bound(command, minutes):
    result = command("estimate", "longvu-llama3-2-1b", minutes, "--context-length", 4096)
    assert result.exit_code == 0, result.stderr
    assert "2,830,247,536 parameters" in result.stdout
    (tokens,) = [line for line in result.stdout.splitlines() if "at most" in line]
    assert int(tokens.split("at most ")[1].split()[0].replace(",", "")) <= 4096
