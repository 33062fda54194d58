# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The whole corpus, sound and hostile, read in a process of its own; times, orientations, pixels against decord."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from decord_frames import FRAMES_FILE, HASHED, frames_hash, packets_hash

from video_lmms.processing.video_errors import VideoError
from video_lmms.processing.video_reader import VideoReader


TESTS = Path(clips.__file__).parent
TIMED = ["uneven.mkv", "uneven.mp4", "uneven_b.mkv", "uneven_b.mp4", "gaps.mp4", "edit_list.mp4", "edit_list_b.mp4",
         "h264_b.mp4", "h264_b.mkv", "h264_b.ts", "h264_b.flv", "h264_b.avi", "mpeg4_b.avi", "mpeg2_b.mpg",
         "hevc_open.mkv", "h264_open.mp4", "late.mkv", "late.mp4", "no_key_at_start.mkv", "piped.mkv"]  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(clip_folder):
    """Clip -> what `check_clips.py` printed of it; a crash or a case over its five seconds leaves the rest out."""
    done = subprocess.run(
        [sys.executable, str(TESTS / "check_clips.py"), str(clip_folder)], capture_output=True, text=True, timeout=600
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {rows[-1]['name'] if rows else 'nothing'}: {done.stderr[-2000:]}"
    return {row["name"]: row for row in rows}


class TestCorpus:
    def test_it_is_large(self):
        assert len(clips.SHOWN) >= 50
        assert len(clips.BROKEN) >= 40
        assert len(clips.FLIPPED) >= 30

    def test_every_frame_of_every_sound_clip_is_the_right_one(self, outcomes):
        for name in clips.SHOWN.keys() - {"rotated.mov"}:
            row = outcomes[name]
            assert row["frames"] == row["right"] == row["expected"] > 0, name
            assert row["consistent"], name
            assert row["sizes"] == 1, name

    @pytest.mark.parametrize("name", [*clips.BROKEN, *clips.FLIPPED])
    def test_every_broken_clip_is_refused_by_type_or_read_right_or_flagged(self, outcomes, name):
        row = outcomes[name]
        if "error" in row:
            assert issubclass(errors()[row["error"]], VideoError)
            assert len(row["message"]) < 600
        else:
            right = "expected" in row and row["right"] == row["expected"] == row["frames"]
            assert right or row["warnings"], row

    def test_no_clip_makes_memory_jump(self, outcomes):
        peaks = [row["peak_mib"] for row in outcomes.values()]
        assert all(later - before < 200 for before, later in zip(peaks, peaks[1:], strict=False))


def errors() -> dict[str, type]:
    """All typed errors of the reader by name."""
    found, waiting = {}, [VideoError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found


@pytest.mark.parametrize("name", TIMED)
def test_times_are_the_true_ones_within_half_a_frame(clip, name):
    numbers = clips.decoded_numbers(clip(name))
    true = clips.TIMES.get(name, np.arange(200) / clips.RATE)[numbers]
    with VideoReader.open(clip(name)) as reader:
        told = np.array(reader.times_of(range(len(reader))))
    assert np.abs(told - (true - true[0])).max() < 0.5 / clips.RATE


@pytest.mark.parametrize("orientation", clips.ORIENTATIONS)
def test_all_orientations_come_upright(clip, tmp_path, orientation):
    matrix = clips.ORIENTATIONS[orientation]
    path = tmp_path / f"{orientation}.mov"
    clips._oriented(matrix)(path)
    with VideoReader.open(path, rotate=False) as stored, VideoReader.open(path) as reader:
        expected = clips.upright(stored.read([0, 70]), matrix)
        frames = reader.read([0, 70])
        assert np.array_equal(frames, expected)
        assert frames.flags.c_contiguous
        info = reader.info
        assert (info.height, info.width) == expected.shape[1:3]
        assert info.mirrored == (np.linalg.det(np.reshape(matrix, (2, 2))) < 0)
        assert info.warnings == ()
        # Resized in the stream, the picture is turned the same way.
        small = reader.read([0, 70], resize=(info.width // 2, info.height // 2)).astype(int)
        blocks = expected.reshape(2, info.height // 2, 2, info.width // 2, 2, 3).mean((2, 4))
        assert np.abs(small - blocks).mean() < 6


def test_another_angle_is_told(tmp_path):
    path = tmp_path / "slanted.mov"
    clips._oriented((0.8, -0.6, 0.6, 0.8))(path)
    with VideoReader.open(path) as reader:
        assert reader.info.rotation == 0
        assert any("the nearest quarter turn is used" in warning for warning in reader.info.warnings)


class TestDecord:
    """Hashes of what decord gave for the same clips; `decord_frames.py` records them, nothing here needs decord."""

    recorded = json.loads(FRAMES_FILE.read_text(encoding="utf-8"))

    @pytest.mark.parametrize("name", HASHED)
    def test_frames_are_decords_bit_for_bit(self, clip, name):
        path, recorded = clip(name), self.recorded["clips"][name]
        if packets_hash(path) != recorded["packets"]:
            versions = {name: list(version) for name, version in av.library_versions.items()}
            assert versions != self.recorded["libraries"], "the same encoder wrote another clip"
            pytest.skip("another version of the encoder wrote another clip than the one decord was shown")
        with VideoReader.open(path) as reader:
            assert frames_hash(reader.read(range(len(reader)))) == recorded["frames"]
            for size, expected in recorded["resized"].items():
                width, height = map(int, size.split("x"))
                assert frames_hash(reader.read(range(0, len(reader), 10), resize=(width, height))) == expected, size

    def test_most_clips_are_compared(self, clip):
        assert len(HASHED) >= 15
        assert set(self.recorded["clips"]) == set(HASHED)
        assert len({hashlib.sha256(str(row).encode()).digest() for row in self.recorded["clips"].values()}) > 12
