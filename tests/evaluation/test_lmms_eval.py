# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""lmms-eval knows the models by their entry point, and our tasks by the files we write for it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
import yaml
from benchmark_files import WRITERS
from checkout import ROOT
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.cli.answering import Answerer
from video_lmms.evaluation.lmms_eval_tasks import (
    doc_to_messages,
    doc_to_text,
    doc_to_visual,
    process_results,
    write_task,
)
from video_lmms.evaluation.model_predictor import ModelPredictor
from video_lmms.evaluation.records import read_lines
from video_lmms.evaluation.tasks import TASKS, read_samples
from video_lmms.evaluation.tasks import world as world_task


# lmms-eval without most of what it asks for: the rest belongs to other models, tasks and media.
PACKAGES = (
    "lmms-eval==0.7.3",
    "aiohappyeyeballs",
    "aiohttp",
    "aiosignal",
    "attrs",
    "certifi",
    "charset-normalizer",
    "colorama",
    "evaluate",
    "filelock<4.3",  # lmms-eval 0.7.3 reaches into a module that later ones lack
    "frozenlist",
    "idna",
    "loguru",
    "lxml",
    "multidict",
    "portalocker",
    "propcache",
    "pytz",
    "requests",
    "sacrebleu",
    "tabulate",
    "tenacity",
    "urllib3",
    "yarl",
)
MODELS = sorted(path.name for path in (ROOT / "hub_configs").glob("tiny-*") if (path / "model.safetensors").is_file())


class Loader(yaml.SafeLoader):
    """Reads `!function` as the name behind it."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_the_entry_point_leads_to_the_model():
    (point,) = entry_points(group="lmms_eval.models", name="video_lmms")
    assert point.value == "video_lmms.evaluation.lmms_eval_plugin:manifest"
    assert callable(point.load())


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("world", "egoschema_full")])
def test_tasks_are_written_in_its_format(name, tmp_path):
    (tmp_path / "data").mkdir()
    WRITERS[name](tmp_path / "data", random.Random(7))
    samples = read_samples(TASKS[name], tmp_path / "data")
    content = yaml.load(write_task(TASKS[name], samples, tmp_path / "tasks").read_text(encoding="utf-8"), Loader)
    assert content["task"] == f"video_lmms_{name}"
    assert content["doc_to_messages"] == "utils.doc_to_messages"
    documents = list(read_lines(content["dataset_kwargs"]["data_files"]["test"]))
    assert len(documents) == len(samples)
    for document, sample in zip(documents, samples, strict=True):
        assert doc_to_visual(document) == [str(sample.video)]
        (message,) = doc_to_messages(document)
        assert message["content"][0] == {
            "type": "video",
            "url": str(sample.video),
            "start_time": sample.start,
            "end_time": sample.end,
        }
        assert message["content"][1] == {"type": "text", "text": doc_to_text(document)}
        assert sample.question in doc_to_text(document)
        span = isinstance(sample.expected, tuple)
        right = "{} - {}".format(*sample.expected) if span else sample.expected
        assert process_results(document, [right]) == {"score": 1.0}
        assert process_results(document, ["nothing of it"]) == {"score": 0.0}


def test_the_command_writes_tasks(tmp_path):
    (tmp_path / "data").mkdir()
    WRITERS["msvd_qa"](tmp_path / "data", random.Random(7))
    words = ["evaluate", "msvd_qa", "--data", str(tmp_path / "data"), "--lmms-eval", str(tmp_path / "tasks")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"--tasks video_lmms_msvd_qa --include_path {tmp_path / 'tasks'}" in result.stderr
    assert {path.name for path in (tmp_path / "tasks").iterdir()} == {
        "msvd_qa.jsonl",
        "utils.py",
        "video_lmms_msvd_qa.yaml",
    }


@pytest.fixture
def one_thread():
    """Sums depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_real_lmms_eval_runs_every_tiny_model(tmp_path, monkeypatch):
    """Its answers are those of our own runner."""
    monkeypatch.setattr(world_task, "CLIPS_PER_TYPE", 3)
    monkeypatch.setattr(world_task, "VISIBLE_TYPES", ("direction", "colour"))
    task, packages = TASKS["world"], tmp_path / "packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, *PACKAGES]
    subprocess.run(list(map(str, install)), check=True)
    samples = read_samples(task, tmp_path / "data")
    write_task(task, samples, tmp_path / "tasks")
    paths = {"PYTHONPATH": str(packages), "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    paths |= {"OMP_NUM_THREADS": "1"}  # equal sums, to the bit, in both processes
    command = [sys.executable, str(Path(__file__).with_name("lmms_eval_run.py")), str(tmp_path / "tasks"), *MODELS]
    run = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert set(found) == set(MODELS)
    for model in MODELS:
        predictor = ModelPredictor(Answerer(model, "cpu", None, False), "plain")
        records = {sample.id: predictor.answer(task, predictor.prepare(task, sample)) for sample in samples}
        said = {name: answers[0] for name, answers in found[model]["answers"].items()}
        assert said == {name: record["answer"] for name, record in records.items()}, model
        right = [said[sample.id] == sample.expected for sample in samples]
        assert found[model]["score"] == pytest.approx(sum(right) / len(right))
    assert found["tiny-pllava"]["score"] == 1.0
