# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A bundle in the hands of someone without the package: offline, through every Auto class and both pipelines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from absence import lacking
from checkout import run
from tiny_models import TINY_MODELS

from video_lmms.hub import bundle, load
from video_lmms.hub.checks import given_length
from video_lmms.registration import ARCHITECTURES


QUESTION = "What do you see?"
NEW_TOKENS = 6
OLDEST = "5.17.0"


@pytest.fixture(scope="module", params=TINY_MODELS)
def model_type(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(model_type, tmp_path_factory) -> Path:
    """A bundle of the tiny model."""
    target = tmp_path_factory.mktemp("strangers") / model_type
    module = TINY_MODELS[model_type]
    bundle(module.tiny_model(), module.tiny_processor(), target)
    return target


@pytest.fixture(scope="module")
def oldest(tmp_path_factory) -> Path:
    return install_oldest_transformers(tmp_path_factory.mktemp("oldest") / "library")


@pytest.fixture(scope="module")
def own_answer(folder, clip) -> str:
    """What the package itself answers."""
    model, processor = load(folder, device="cpu")
    parts = [{"type": "video", "path": str(clip)}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[clip], return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    return processor.decode(ids[0, given_length(model, inputs) :], skip_special_tokens=True)


def text_class(model_type: str) -> str:
    return "AutoModelForSeq2SeqLM" if ARCHITECTURES[model_type].config.is_encoder_decoder else "AutoModelForCausalLM"


def be_a_stranger(folder: Path, clip: Path, cache: Path, **variables: str) -> dict:
    script = Path(__file__).with_name("stranger.py")
    result = run(
        *(sys.executable, "-P", script, folder, clip, QUESTION),
        cwd=cache,
        HF_HUB_OFFLINE="1",
        HF_HOME=str(cache / "home"),
        HF_MODULES_CACHE=str(cache / "modules"),
        **variables,
    )
    return json.loads(result.stdout.splitlines()[-1])


def check(report: dict, own_answer: str, model_type: str) -> None:
    assert report["imported"] == []
    architecture = ARCHITECTURES[model_type]
    for auto_class, wanted in {
        "AutoConfig": architecture.config,
        "AutoImageProcessor": architecture.image_processor,
        "AutoVideoProcessor": architecture.video_processor,
        "AutoProcessor": architecture.processor,
        "AutoModel": architecture.model,
        text_class(model_type): architecture.generation_model,
        "AutoModelForImageTextToText": architecture.generation_model,
        "AutoModelForMultimodalLM": architecture.generation_model,
    }.items():
        assert report["classes"][auto_class][0] == wanted.__name__
        assert report["classes"][auto_class][1].startswith("transformers_modules."), auto_class
    assert len(report["answers"]) == 5
    assert {answer.strip() for answer in report["answers"].values()} == {own_answer.strip()}


def test_a_stranger_gets_our_answer(folder, model_type, clip, own_answer, tmp_path):
    check(be_a_stranger(folder, clip, tmp_path), own_answer, model_type)


@pytest.mark.slow
def test_a_stranger_with_the_oldest_transformers_gets_our_answer(
    folder, model_type, clip, own_answer, oldest, tmp_path
):
    report = be_a_stranger(folder, clip, tmp_path, PYTHONPATH=str(oldest))
    assert report["transformers"] == OLDEST
    check(report, own_answer, model_type)


def install_oldest_transformers(target: Path) -> Path:
    """The oldest supported release and the Hub client it wants, in a folder that goes first on the path.

    The client brings what it needs; all else is in the running environment, in versions that both releases accept.
    """
    for wanted in (["--no-deps", f"transformers=={OLDEST}"], ["huggingface_hub>=1.5,<2"]):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), *wanted]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if result.returncode:
            lacking(f"no transformers {OLDEST}, the package registry cannot be reached: {result.stderr[-300:]}")
    return target
