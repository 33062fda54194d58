# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVU's claim in small: what flashes once in an hour is found, within a fixed budget and fixed memory."""

import re

import pytest

from video_lmms.cli.answering import Answerer
from video_lmms.evaluation.needle import compare, main


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_choosing_finds_what_even_spacing_misses():
    found = compare(Answerer("tiny-longvu", "cpu", None, False), 30)
    own, uniform = found["own choice"], found["evenly spaced"]
    assert own["right"] >= 0.85 - 2 * (0.85 * 0.15 / 30) ** 0.5  # two standard errors below the requirement
    assert own["right"] > uniform["right"]
    # The same price: whole frames are at most what the choice cost, and one more would be dearer.
    assert 0.5 * own["tokens"] <= uniform["tokens"] <= own["tokens"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_hour_takes_the_memory_of_ten_minutes(capsys):
    assert main(["--model", "tiny-longvu", "--clips", "0", "--minutes", "10", "60"]) == 0
    short, long = capsys.readouterr().out.splitlines()
    assert float(re.search(r"\(([\d.]+) times the first\)", long)[1]) <= 1.15
    for line, frames in ((short, 1200), (long, 7200)):
        assert f"{frames} frames looked at" in line
        assert int(re.search(r"(\d+) kept", line)[1]) <= 400
        assert re.search(r"needle (found|missed)$", line)  # one clip is no share; the test above has more
