# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Estimates, compared with what a real run counts."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_apollo
import torch
from tiny_pllava import NUM_FRAMES, tiny_config, tiny_model, tiny_processor
from torch.utils.flop_counter import FlopCounterMode
from transformers.video_utils import VideoMetadata

from video_lmms.estimation import estimate, metered
from video_lmms.modeling.modeling_video_lmm import CACHE_NAMES


CLIP = VideoMetadata(total_num_frames=300, fps=30.0, width=64, height=48, duration=10.0)
TEXT, NEW = 40, 11


@pytest.fixture(scope="module")
def model():
    loaded = tiny_model()
    loaded.set_attn_implementation("eager")  # torch counts no operations of the CPU's fused attention
    return loaded


@pytest.fixture(scope="module")
def result():
    return estimate(tiny_config(), tiny_processor().video_processor, [CLIP, CLIP], text_tokens=TEXT, new_tokens=NEW)


def counted(function, *args, **kwargs):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = function(*args, **kwargs)
    return counter.get_total_flops(), outputs


def test_parameters_are_exact(model, result):
    assert result.parameters["total"] == sum(parameter.numel() for parameter in model.parameters())
    for name in ("vision_tower", "multi_modal_projector", "language_model"):
        assert result.parameters[name] == sum(p.numel() for p in getattr(model.model, name).parameters())
    assert sum(result.parameters.values()) == 2 * result.parameters["total"]


def test_tokens_are_exact(model, result):
    tokens = model.model.get_video_features(torch.zeros(1, NUM_FRAMES, 3, 56, 56)).pooler_output.shape[1]
    assert [video.tokens for video in result.videos] == [tokens, tokens]
    assert [video.sampled_frames for video in result.videos] == [NUM_FRAMES, NUM_FRAMES]
    assert result.prompt_tokens == 2 * tokens + TEXT


def test_operations_equal_those_of_a_real_run(model, result):
    flops, _ = counted(model.model.get_video_features, torch.zeros(2, NUM_FRAMES, 3, 56, 56))
    assert result.flops["vision"] == pytest.approx(flops, rel=0.02)
    embeds = torch.zeros(1, result.prompt_tokens, 64)
    flops, outputs = counted(model, inputs_embeds=embeds, logits_to_keep=1, use_cache=True)
    assert result.flops["prefill"] == pytest.approx(flops, rel=0.02)
    total, name = 0, next(name for name in CACHE_NAMES if name in outputs)
    for _ in range(NEW - 1):
        flops, _ = counted(model, inputs_embeds=torch.zeros(1, 1, 64), use_cache=True, **{name: outputs[name]})
        total += flops
    assert result.flops["answer"] == pytest.approx(total, rel=0.02)


def test_memory_of_weights_and_cache_is_exact(model, result):
    assert result.memory["weights"] == sum(parameter.nbytes for parameter in model.parameters())
    layers, heads, head_dim = 2, 2, 16
    length = result.prompt_tokens + NEW
    assert result.memory["kv_cache"] == 2 * layers * heads * head_dim * length * 4
    assert result.memory["peak"] > result.memory["weights"] + result.memory["kv_cache"]


def test_dtype_and_frames_change_the_estimate():
    processor = tiny_processor().video_processor
    half = estimate(tiny_config(), processor, [CLIP], dtype=torch.bfloat16)
    full = estimate(tiny_config(), processor, [CLIP], dtype=torch.float32)
    assert full.memory["weights"] == 2 * half.memory["weights"]
    more = estimate(tiny_config(), processor, [CLIP], num_frames=4 * NUM_FRAMES)
    assert more.videos[0].sampled_frames == 4 * NUM_FRAMES
    assert more.flops["vision"] > 3 * full.flops["vision"]


def test_live_bytes_are_those_alive_at_once():
    weight = torch.empty(1000, 1000, device="meta")
    with metered() as meter:
        hidden = torch.empty(10, 1000, device="meta")
        for _ in range(5):
            hidden = hidden @ weight.t()
    assert meter.flops == 5 * 2 * 10 * 1000 * 1000
    assert meter.peak_bytes == 2 * 10 * 1000 * 4


@pytest.fixture(scope="module")
def apollo():
    return tiny_apollo.tiny_config(tie_word_embeddings=True), tiny_apollo.tiny_processor()


def seconds(duration, rate=30.0):
    return VideoMetadata(
        total_num_frames=round(duration * rate), fps=rate, width=64, height=48, duration=round(duration * rate) / rate
    )


@pytest.mark.parametrize("durations", [(0.2,), (3, 9), (500,), (7200, 100)])
def test_videos_of_a_prompt_share_the_context(apollo, durations):
    """Clips come in whole, and long videos are not processed to learn what they cost."""
    config, processor = apollo
    videos = [seconds(duration) for duration in durations]
    costs = estimate(config, processor.video_processor, videos, new_tokens=2).videos
    assert [cost.tokens for cost in costs] == [processor.num_video_tokens(video, len(videos)) for video in videos]
    assert all(cost.sampled_frames * tiny_apollo.TOKENS_PER_CLIP == 4 * cost.tokens for cost in costs)


def test_clips_through_two_towers_are_counted_as_run(apollo):
    config, processor = apollo
    short, long = (estimate(config, processor.video_processor, [seconds(length)]) for length in (2, 100))
    model = tiny_apollo.tiny_model().requires_grad_(False)
    model.set_attn_implementation("eager")
    inputs = torch.zeros(1, 4, 3, 30, 30), torch.zeros(1, 4, 3, 24, 24)
    flops, _ = counted(model.get_video_features, *inputs)
    assert short.flops["vision"] == pytest.approx(flops, rel=0.02)
    assert long.flops["vision"] == 50 * short.flops["vision"]


def test_a_tied_head_weighs_nothing(apollo):
    config, processor = apollo
    tied = estimate(config, processor.video_processor, [seconds(2)])
    own = estimate(tiny_apollo.tiny_config(), processor.video_processor, [seconds(2)])
    table = config.text_config.vocab_size * config.text_config.hidden_size
    assert own.memory["weights"] - tied.memory["weights"] == 4 * table
    assert tied.memory["weights"] == 4 * tied.parameters["total"]


def test_the_dates_of_clips_are_counted(apollo):
    """The small vocabulary of this tokenizer cuts words; the estimate, made for Qwen's, does not."""
    config, processor = apollo
    result = estimate(config, processor.video_processor, [seconds(20)], text_tokens=1)
    video = np.zeros((600, 4, 4, 3), np.uint8)
    inputs = processor(text="<|video_token|>", videos=[video], video_metadata=[seconds(20)], return_tensors="pt")
    words = inputs["input_ids"].shape[1] - result.videos[0].tokens
    assert result.videos[0].text_tokens + result.videos[0].tokens + 1 == result.prompt_tokens
    assert 0.4 * words < result.videos[0].text_tokens <= words
