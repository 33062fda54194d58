# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed without warning and started again: their losses are those of a run that was not."""

import os
import random
import subprocess
import sys

import pytest
from checkout import ROOT
from tiny_models import TINY_MODELS
from training_runs import losses, words, write_base, write_chats

from video_lmms.training.recipes import sft
from video_lmms.training.results import last_checkpoint


STEPS = 6
ACCUMULATED = 2
# Dropout makes the losses depend on the state of the random numbers too.
OPTIONS = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": ACCUMULATED,
    "lora_dropout": 0.1,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 2,
}
# Ends its own process at the given call of a method of the trainer, before the method has done anything.
KILLED = """
import os, signal, sys
from video_lmms.training.recipes import sft
from video_lmms.training.trainer import VideoSFTTrainer
method, fatal = sys.argv[1], int(sys.argv[2])
original, calls = getattr(VideoSFTTrainer, method), []
def counting(*args, **kwargs):
    calls.append(1)
    if len(calls) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)
setattr(VideoSFTTrainer, method, counting)
sft.main(sys.argv[3:])
"""

pytestmark = [
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]


def killed(method, fatal, arguments):
    result = subprocess.run(
        [sys.executable, "-c", KILLED, method, str(fatal), *arguments],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == -9, result.stderr


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp("chats"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_run_killed_anywhere_continues_as_if_it_had_not_been(name, chats, tmp_path):
    base = write_base(name, tmp_path / "base")
    sft.main(words(base, chats, tmp_path / "whole", **OPTIONS))
    whole = losses(tmp_path / "whole")
    assert len(whole) == STEPS
    assert len(set(whole)) == STEPS
    again = words(base, chats, tmp_path / "killed", **OPTIONS)
    fatal = random.randint(2, STEPS * ACCUMULATED)
    killed("compute_loss", fatal, again)
    assert not (tmp_path / "killed" / "final").exists()
    sft.main(again)
    assert losses(tmp_path / "killed") == pytest.approx(whole, abs=1e-6), f"killed in forward pass {fatal}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_half_written_checkpoint_is_passed_over(chats, tmp_path):
    base = write_base("pllava", tmp_path / "base")
    sft.main(words(base, chats, tmp_path / "whole", **OPTIONS))
    again = words(base, chats, tmp_path / "killed", **OPTIONS)
    killed("_save_rng_state", 3, again)
    assert (tmp_path / "killed" / "checkpoint-3" / "optimizer.pt").exists()
    sft.main(again)
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "whole"), abs=1e-6)


def test_the_newest_whole_checkpoint_counts(tmp_path):
    assert last_checkpoint(str(tmp_path / "new")) is None
    assert last_checkpoint(str(tmp_path)) is None
    for step, state in ((9, "{}"), (10, "{}"), (11, '{"epoch": 1.'), (12, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-10")
