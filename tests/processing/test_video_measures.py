# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the reader holds on to: nothing after a clip is closed, and no more for an hour than for a minute."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import clips
import pytest
from checkout import run


SCRIPT = Path(__file__).parents[1] / "measure_reader.py"


def measured(*words: str | Path) -> dict:
    """What `measure_reader.py` prints, run in a process of its own."""
    return json.loads(run(sys.executable, SCRIPT, *words, cwd=SCRIPT.parent, MALLOC_ARENA_MAX="2").stdout)


@pytest.mark.slow
def test_a_thousand_clips_leave_nothing_behind(tmp_path):
    clip = clips.make("h264.mp4", tmp_path)
    broken = tmp_path / "cut.mp4"
    broken.write_bytes(clip.read_bytes()[:2000])
    found = measured("opens", clip, broken)
    assert len(found["memory_mib"]) == 11
    assert len(set(found["files"])) == 1
    assert max(found["memory_mib"][1:]) - found["memory_mib"][0] < 20


@pytest.mark.slow
def test_an_hour_takes_the_memory_of_a_minute(tmp_path):
    minute, hour = (measured("stream", clips.hour_clip(tmp_path, minutes)) for minutes in (1, 60))
    assert (minute["wanted"], hour["wanted"]) == (60, 3600)
    assert hour["peak_mib"] < 1.1 * minute["peak_mib"]
    assert hour["most_frames_alive"] <= 3
