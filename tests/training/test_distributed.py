# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Two processes give the losses of one: data parallel through the shipped configuration, and sharded by FSDP2."""

import json
import os
import subprocess
import sys

import pytest
import torch
from checkout import ROOT
from distributed_training import PROBE, STEPS, train
from peft import PeftModel
from safetensors.torch import load_file
from tiny_models import TINY_MODELS
from training_runs import FOLDER, losses, words, write_base, write_chats

from video_lmms.data.rows import read_rows
from video_lmms.hub import load
from video_lmms.training.recipes import sft


pytestmark = [
    pytest.mark.slow,
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]
SCRIPT = ROOT / "tests" / "distributed_training.py"


def launch(*command):
    result = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert result.returncode == 0, result.stderr[-5000:]


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp("chats"))


@pytest.mark.timeout(600)
def test_two_processes_train_as_one_does(chats, tmp_path):
    """The same global batch, cut in two, whose halves hold different numbers of learned tokens."""
    options = {"max_steps": 4, "gradient_accumulation_steps": 1, "save_strategy": "steps", "save_steps": 4}
    bases = {name: write_base(name, tmp_path / name / "base") for name in TINY_MODELS}
    jobs = {
        (name, size): words(base, chats, tmp_path / name / f"{size}", per_device_train_batch_size=size, **options)
        for name, base in bases.items()
        for size in (2, 4)
    }
    (tmp_path / "jobs.json").write_text(json.dumps([jobs[name, 2] for name in bases]))
    configuration = (
        "--config_file",
        FOLDER / "accelerate" / "ddp.yaml",
        "--num_processes",
        2,
        "--mixed_precision",
        "no",
    )
    launch("accelerate.commands.launch", *configuration, SCRIPT, "recipes", tmp_path / "jobs.json")
    for name in bases:
        sft.main(jobs[name, 4])
        alone, together = (losses(tmp_path / name / size) for size in ("4", "2"))
        assert len(alone) == len(set(alone)) == 4
        assert together == pytest.approx(alone, abs=1e-5), name
        assert (tmp_path / name / "2" / "final" / "adapter_model.safetensors").exists()


@pytest.mark.timeout(600)
def test_sharded_models_train_as_whole_ones_do(chats, tmp_path):
    """accelerate falls back to copies on CPUs, so that FSDP2 is applied by hand, as its configuration would."""
    (tmp_path / "chats.jsonl").write_text(chats.read_text())
    launch("torch.distributed.run", "--nproc_per_node", 2, "--standalone", SCRIPT, "shards", tmp_path, *TINY_MODELS)
    for name in TINY_MODELS:
        seen = json.loads((tmp_path / f"{name}.json").read_text())
        assert seen["parameters"] == seen["dtensors"] > 0
        assert seen["gradients"] > 0
        assert seen["held"] < 0.6 * seen["elements"]
        alone = train(TINY_MODELS[name].tiny_model(), name, read_rows([chats]), 0, 1)
        assert len(set(alone)) == STEPS
        assert seen["losses"] == pytest.approx(alone, abs=1e-5), name


@pytest.mark.timeout(600)
def test_a_sharded_model_is_saved_whole(tmp_path):
    base = write_base("pllava", tmp_path / "base")
    launch("torch.distributed.run", "--nproc_per_node", 2, "--standalone", SCRIPT, "gather", tmp_path, base)
    adapted = PeftModel.from_pretrained(load(base, device="cpu")[0], tmp_path / "adapter").eval()
    with torch.no_grad():
        logits = adapted(input_ids=PROBE).logits
        with adapted.disable_adapter():
            untrained = adapted(input_ids=PROBE).logits
    expected = load_file(tmp_path / "expected.safetensors")["logits"]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    assert (untrained - expected).abs().max() > 1e-2
