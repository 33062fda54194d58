# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms bench video`: every reader reads the same frames, and whoever cannot is told. Times are not judged."""

from __future__ import annotations

import json

import pytest

from video_lmms.evaluation import video_readers


PEER = "transformers pyav"


@pytest.fixture(scope="module")
def clips_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def bench(command, clips_folder):
    def run(*words):
        return command("bench", "video", "--frames", 300, "--size", "64x48", "--clips", clips_folder, *words)

    return run


def test_readers_see_the_same_frames(bench, clips_folder):
    report = json.loads(bench("--rounds", 2, "--peers", PEER, "--json").stdout)
    assert (report["frames"], report["rounds"]) == (300, 2)
    rows = report["comparisons"]
    assert {(row["clip"], row["sampling"]) for row in rows} == {
        (clip, sampling) for clip in video_readers.CLIPS for sampling in video_readers.samplings(300)
    }
    read = [row for row in rows if row["problem"] is None]
    assert len(read) >= 8  # the peer may not read webm
    for row in read:
        assert row["peer"] == PEER
        assert min(row["wall"], row["cpu"], row["seconds"], row["our_seconds"]) > 0
        assert row["difference"] < 0.5
    assert len(list(clips_folder.iterdir())) == 3


def test_readers_that_fail_are_told(bench, monkeypatch):
    def fails(path, numbers):
        if len(numbers) > 2:
            raise OSError("no luck\ntoday")
        return video_readers.read_ours(path, numbers)

    peers = {"absent": ("no_such_module_anywhere", fails), "unlucky": ("av", fails)}
    monkeypatch.setattr(video_readers, "PEERS", peers)
    lines = bench("--rounds", 1).stdout.splitlines()
    assert "300 frames of 64x48, 1 rounds" in lines[0]
    assert len(lines) == 1 + 3 * 4 * 2
    assert sum(line.endswith("not installed") for line in lines) == 12
    assert sum(line.endswith("failed in round 1: OSError: no luck") for line in lines) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "63x48"], "a size is two even numbers from 32 up, such as 640x360; got '63x48'"),
        (["--size", "64"], "got '64'"),
        (["--peers", "decord; vlc"], "unknown readers: vlc. Known: decord; opencv, seeking; "),
    ],
)
def test_mistakes_are_named(bench, words, message):
    result = bench(*words)
    assert result.exit_code == 2
    assert message in result.stderr
