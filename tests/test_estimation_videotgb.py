# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Estimates of VideoTGB, compared with what a real run counts; no frame has been chosen when they are made."""

from __future__ import annotations

import json

import pytest
import tiny_videotgb
import tiny_videotgb_t5
import torch
from checkout import ROOT
from tiny_videotgb_grounding import tiny_grounding_config
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers.video_utils import VideoMetadata
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.estimation import estimate
from video_lmms.modeling.modeling_video_lmm import CACHE_NAMES


SECONDS = 20
CLIP = VideoMetadata(total_num_frames=30 * SECONDS, fps=30.0, width=80, height=60, duration=float(SECONDS))
TEXT, NEW = 40, 11
FORMS = pytest.mark.parametrize("tiny", [tiny_videotgb, tiny_videotgb_t5], ids=["vicuna", "t5"])


def counted(function, *args, **kwargs):
    # torch counts no operations of the CPU's fused attention
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        outputs = function(*args, **kwargs)
    return counter.get_total_flops(), outputs


def video_inputs(tiny):
    """One random clip whose choice falls on as many distinct frames as there can be."""
    words = torch.ones(1, TEXT, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    size = tiny_videotgb.SIZE
    flow_frames = torch.rand(SECONDS, 3, size, size, generator=generator)
    whole = torch.zeros(2, 2, SECONDS, 1)
    whole[:, 0, 0] = whole[:, 1, -1] = 1e4  # starts, then ends
    inputs = {
        "gumbel_noise": whole,
        "pixel_values_videos": flow_frames[: tiny_videotgb.CANDIDATES].unsqueeze(0),
        "flow_pixel_values": flow_frames,
        "sampler_input_ids": words,
    }
    return inputs if tiny is tiny_videotgb_t5 else inputs | {"qformer_input_ids": words}


def make(tiny, videos=1, **options):
    processor = tiny.tiny_processor().video_processor
    return estimate(tiny.tiny_config(**options), processor, [CLIP] * videos, text_tokens=TEXT, new_tokens=NEW)


@FORMS
@pytest.mark.parametrize("merge", ["mean", "concat"])
def test_tokens_and_operations_equal_those_of_a_real_run(tiny, merge):
    result = make(tiny, frame_merge=merge)
    model = tiny.tiny_model(frame_merge=merge).requires_grad_(False)
    flops, features = counted(model.get_video_features, **video_inputs(tiny), return_dict=True)
    assert features.frame_choice.frame_indices.unique().numel() == tiny_videotgb.NUM_FRAMES
    assert result.videos[0].tokens == features.pooler_output[0].shape[0]
    assert result.videos[0].sampled_frames == SECONDS
    assert result.flops["vision"] == pytest.approx(flops, rel=1e-3)
    assert result.prompt_tokens == TEXT + result.videos[0].tokens


def test_an_answer_of_a_decoder_costs_what_it_runs():
    result, model = make(tiny_videotgb), tiny_videotgb.tiny_model().requires_grad_(False)
    text = model.model.language_model
    flops, outputs = counted(text, inputs_embeds=torch.zeros(1, result.prompt_tokens, 32), use_cache=True)
    head = 2 * model.lm_head.weight.numel()
    assert result.flops["prefill"] == pytest.approx(flops + head, rel=1e-3)
    assert result.flops["answer"] == pytest.approx(steps(text, outputs, head, {}), rel=0.02)


def test_an_encoder_reads_the_prompt_and_a_decoder_writes_the_answer():
    result, model = make(tiny_videotgb_t5, videos=2), tiny_videotgb_t5.tiny_model().requires_grad_(False)
    text, config = model.model.language_model, model.config.text_config
    embeds, start = torch.zeros(1, result.prompt_tokens, config.d_model), torch.zeros(1, 1, config.d_model)
    flops, outputs = counted(text, inputs_embeds=embeds, decoder_inputs_embeds=start, use_cache=True)
    head = 2 * model.lm_head.weight.numel()
    assert result.flops["prefill"] == pytest.approx(flops + head, rel=1e-3)
    states = {"encoder_outputs": (outputs.encoder_last_hidden_state,)}
    assert result.flops["answer"] == pytest.approx(steps(text, outputs, head, states, "decoder_"), rel=0.02)
    positions = result.prompt_tokens + 1 + NEW  # what the decoder's layers remember of prompt and answer
    assert result.memory["kv_cache"] == 2 * config.num_decoder_layers * config.d_kv * config.num_heads * positions * 4
    assert result.memory["weights"] == sum(weight.nbytes for weight in (*model.parameters(), *model.buffers()))


def steps(text, outputs, head, states, prefix=""):
    """Operations of all tokens after the first."""
    total, name = 0, next(name for name in CACHE_NAMES if name in outputs)
    token = {f"{prefix}inputs_embeds": torch.zeros(1, 1, 32)}
    for _ in range(NEW - 1):
        flops, _ = counted(text, **token, **states, use_cache=True, **{name: outputs[name]})
        total += flops + head
    return total


@FORMS
def test_flow_costs_by_the_second_until_there_are_no_positions_for_it(tiny):
    processor, longest = tiny.tiny_processor().video_processor, 20
    bridge = tiny_grounding_config(vocab_size=tiny_videotgb.BERT_VOCAB, max_position_embeddings=longest + 2)
    config = tiny.tiny_config(grounding_config=bridge)
    costs = [
        estimate(config, processor, [lasting(seconds)], text_tokens=10, new_tokens=2)
        for seconds in (1, 10, longest, longest + 1)
    ]
    none, half, full, beyond = (cost.flops["vision"] for cost in costs)
    assert full - none == pytest.approx((half - none) * (longest - 1) / 9, rel=0.02)
    assert beyond == none
    assert len({cost.prompt_tokens for cost in costs}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", ["videotgb-7b", "videotgb-flan-t5-xl"])
def test_published_sizes_are_estimated_from_the_command_line(checkpoint):
    clip = str(ROOT / "hub_configs" / "tiny-videotgb" / "example.mp4")
    result = CliRunner().invoke(app, ["estimate", checkpoint, clip, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["prompt_tokens"] == report["text_tokens"] + 32
    assert report["parameters"]["total"] > 4e9


def lasting(seconds):
    return VideoMetadata(total_num_frames=30 * seconds, fps=30.0, width=80, height=60, duration=float(seconds))
