# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Where the time of an answer goes, for every model."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace

import pytest
import torch
from tiny_models import TINY_MODELS

from video_lmms.cli.profiling import DECODE, LANGUAGE_MODEL, PHASES, PREPROCESS, TOWER, Profile, patched


def test_every_moment_belongs_to_the_innermost_phase(monkeypatch):
    moments = iter([0, 1, 3, 10, 11, 20])
    monkeypatch.setattr("video_lmms.cli.profiling.time", SimpleNamespace(perf_counter=lambda: next(moments)))
    profile = Profile()
    with profile.phase(LANGUAGE_MODEL):  # from 0
        with profile.phase(TOWER), profile.phase(DECODE):  # from 1 and 3 to 11 and 10
            pass
    assert profile.seconds == {DECODE: 7, PREPROCESS: 0, TOWER: 2 + 1, LANGUAGE_MODEL: 1 + 9}
    assert profile.as_dict()[DECODE] == {"seconds": 7, "share": 0.35}
    assert "decode 7.000 s (35 %)" in profile.line()


def test_an_error_ends_its_phases(monkeypatch):
    profile = Profile()
    with pytest.raises(KeyError):
        with profile.phase(TOWER), profile.phase(DECODE):
            raise KeyError
    before = dict(profile.seconds)
    with profile.phase(PREPROCESS):
        pass
    assert {name: profile.seconds[name] == before[name] for name in (TOWER, DECODE)} == {TOWER: True, DECODE: True}


def test_methods_come_back():
    class Thing:
        def number(self):
            return 1

    thing = Thing()
    with patched(thing, number=lambda: 2):
        with patched(thing, number=lambda: 3):
            assert thing.number() == 3
        assert thing.number() == 2
    assert thing.number() == 1
    assert vars(thing) == {}


@pytest.mark.parametrize("model_type", TINY_MODELS)
def test_every_model_spends_time_on_everything(model_type, clip):
    model, processor = TINY_MODELS[model_type].tiny_model(), TINY_MODELS[model_type].tiny_processor()
    content = [{"type": "video", "path": str(clip)}, {"type": "text", "text": "What do you see?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    kept = [set(vars(thing)) for thing in (model, model.base_model, processor.video_processor)]
    profile = Profile()
    with profile.watching(model, processor), torch.no_grad():
        # LongVU looks at a video in a stream; the others choose afterwards, or not at all.
        options = {"select_frames": model.select_frames} if model_type == "longvu" else {}
        start = time.perf_counter()
        with profile.phase(PREPROCESS):
            inputs = processor(text=text, videos=[clip], return_tensors="pt", **options)
        with profile.phase(LANGUAGE_MODEL):
            model.generate(**inputs, max_new_tokens=2, do_sample=False)
        passed = time.perf_counter() - start
    assert all(seconds > 0 for seconds in profile.seconds.values())
    assert sum(profile.seconds.values()) <= passed
    assert sum(part["share"] for part in profile.as_dict().values()) == pytest.approx(1, abs=0.001)
    assert [set(vars(thing)) for thing in (model, model.base_model, processor.video_processor)] == kept


def test_ask_prints_the_shares(command, folder, clip):
    result = command("ask", clip, "What?", "--model", folder, "--max-new-tokens", 2, "--profile")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("profile: ")]
    shares = [int(share) for share in re.findall(r"\((\d+) %\)", line)]
    assert [name.replace("_", " ") in line for name in PHASES] == [True] * 4
    assert abs(sum(shares) - 100) <= 2
    assert len(result.stdout.splitlines()) == 1
    plain = command("ask", clip, "What?", "--model", folder, "--max-new-tokens", 2)
    assert plain.stdout == result.stdout
    assert "profile" not in plain.stderr
    printed = command("ask", clip, "What?", "--model", folder, "--max-new-tokens", 2, "--profile", "--json").stdout
    assert set(json.loads(printed)["profile"]) == set(PHASES)
