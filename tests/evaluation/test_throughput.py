# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms bench answer`: time beside the floor of the operations."""

from __future__ import annotations

import json

import pytest
from checkout import ROOT
from tiny_models import save_plainly
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.estimation import estimate
from video_lmms.hub.loading import load_blueprint
from video_lmms.processing.video_inputs import FileVideo
from video_lmms.processing.video_reader import VideoReader


CLIP = ROOT / "hub_configs/tiny-pllava/example.mp4"


def measured(model, *words):
    words = ["--model", model, "--video", CLIP, "--rounds", 1, "--new-tokens", 6, "--device", "cpu", *words]
    result = CliRunner().invoke(app, ["bench", "answer", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_operations_are_the_estimates_and_floors_follow():
    found = json.loads(measured("tiny-pllava", "--json"))
    config, video_processor = load_blueprint("tiny-pllava")
    with VideoReader.open(CLIP) as reader:
        expected = estimate(config, video_processor, [FileVideo(reader).metadata], new_tokens=6)
    vision, prefill, answer = found["phases"]
    assert vision["flops"] == expected.flops["vision"]
    assert 0 < answer["flops"] < prefill["flops"]
    for phase in found["phases"]:
        assert phase["floor"] == pytest.approx(phase["flops"] / found["peak"])
        assert phase["seconds"] > 0
    assert (found["device"], found["attention"]) == ("cpu", "sdpa")


def test_a_reader_is_told_of_every_phase(tmp_path):
    save_plainly("longvu", tmp_path)
    lines = measured(tmp_path, "--attention", "eager", "--dtype", "float32").splitlines()
    assert "TFLOP/s" in lines[0]
    assert "float32, eager" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["vision", "prefill", "answer"]
    assert all("ratio" in line for line in lines[1:])
