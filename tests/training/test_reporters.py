# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Losses and accuracies reach TRL's reporters."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from training_runs import losses, words, write_base, write_chats

from video_lmms.training.recipes import sft


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]
OPTIONS = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "save_strategy": "steps",
    "save_steps": 2,
}


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp("chats"), 4)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base("pllava", tmp_path_factory.mktemp("models") / "base")


def test_tensorboard_is_told(base, chats, tmp_path, monkeypatch):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    options = OPTIONS | {"report_to": "tensorboard", "eval_data": chats}
    sft.main(words(base, chats, tmp_path / "run", **options))
    events = loader.EventAccumulator(str(tmp_path / "board")).Reload()
    told = [event.value for event in events.Scalars("train/loss")]
    assert told == pytest.approx(losses(tmp_path / "run"), abs=1e-5)
    assert 0 <= events.Scalars("eval/accuracy")[0].value <= 1


def test_trackio_is_told(base, chats, tmp_path):
    """In a process of its own, for trackio asks where to write when it is imported."""
    pytest.importorskip("trackio", reason="trackio is not installed; it is the extra of that name")
    options = OPTIONS | {"report_to": "trackio", "project": "video-lmms-test", "run_name": "tiny"}
    result = subprocess.run(
        [sys.executable, sft.__file__, *words(base, chats, tmp_path / "run", **options)],
        env=os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    with closing(sqlite3.connect(tmp_path / "trackio" / "video-lmms-test.db")) as database:
        metrics = [json.loads(row) for (row,) in database.execute("select metrics from metrics order by step")]
    told = [entry["train/loss"] for entry in metrics if "train/loss" in entry]
    assert told == pytest.approx(losses(tmp_path / "run"), abs=1e-5)
