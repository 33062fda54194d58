# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The command that times LoRA steps; what it measures hangs on the machine, what it counts does not."""

import re

import pytest
import torch
from tiny_pllava import tiny_model

from video_lmms.training.benchmark import Timing, main, random_batch, time_steps


pytestmark = [
    # PEFT's own: a renamed property of transformers.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


def test_the_command_prints_a_line_per_attention(capsys):
    assert main(["tiny-pllava", "--attention", "sdpa", "eager", "--steps", "1", "--peak-tflops", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["sdpa", "eager"]
    for line in lines:
        assert re.search(r": [\d,]+ tokens/s.*utilisation \d+\.\d%", line)


def test_twice_the_videos_are_twice_the_operations():
    config = tiny_model().config
    once, twice = (time_steps(config, "eager", videos, frames=4, words=8, steps=1) for videos in (1, 2))
    assert twice.tokens == 2 * once.tokens
    assert twice.flops == pytest.approx(2 * once.flops, rel=1e-6)


def test_random_words_hold_no_placeholder():
    config = tiny_model().config
    batch = random_batch(config, 3, 4, 500, "cpu", torch.float32)
    learned = batch["labels"] != -100
    assert not (batch["input_ids"][learned] == config.video_token_id).any()
    assert (batch["input_ids"] == config.video_token_id).sum() == 3 * torch.tensor(config.pooling_shape).prod()


def test_other_models_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["tiny-apollo"])
    assert "inputs of PLLaVA alone" in capsys.readouterr().err


def test_the_line_names_memory_where_there_is_some():
    timing = Timing("sdpa", 1000, 0.5, 3 * 2**30, 10**12)
    assert timing.line(None) == "sdpa: 2,000 tokens/s, 3.0 GiB at the peak, 2 TFLOP/s"
