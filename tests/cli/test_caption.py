# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms caption`: folders and lists in, JSONL or Parquet out, nothing captioned twice."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest
from checkout import ROOT
from pyarrow import parquet

from video_lmms.evaluation.captions import REQUESTS, CaptionError, find_videos, request_of
from video_lmms.evaluation.records import read_lines


PROMPTS = ROOT / "tests/goldens/pllava/published_sharded/prompts.json"


@pytest.fixture
def videos(clip, tmp_path):
    """A folder with two clips and something else, and a list that names the second."""
    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    shutil.copyfile(clip, folder / "a.mp4")
    shutil.copyfile(clip, folder / "more/b.mp4")
    (folder / "notes.txt").write_text("no video", encoding="utf-8")
    (tmp_path / "list.txt").write_text("videos/more/b.mp4\n", encoding="utf-8")
    return folder


def mistake(result) -> str:
    assert result.exit_code == 2
    return result.stderr


def test_a_folder_is_captioned_as_pllava_captioned(command, folder, videos, tmp_path):
    output = tmp_path / "captions.jsonl"
    base = ("caption", videos, "--model", folder, "--output", output, "--max-new-tokens", 3)
    assert "2 videos, 0 unreadable" in command(*base).stderr
    records = list(read_lines(output))
    assert [record["video"] for record in records] == [str(videos / "a.mp4"), str(videos / "more/b.mp4")]
    assert records[0]["caption"] == records[1]["caption"]
    first = records[0]
    assert (first["request"], first["model"], first["prompts"]) == ("recaption", str(folder), "pllava/1")
    assert len(first["frames"]) == len(first["times"]) == 6
    asked = command(
        "ask", videos / "a.mp4", REQUESTS["recaption"], "--model", folder, "--template", "eval_recaption",
        "--max-new-tokens", 3,
    )  # fmt: skip
    assert first["caption"] == asked.stdout.strip()
    # Again, and with one more video: only that one is captioned.
    shutil.copyfile(videos / "a.mp4", videos / "c.mp4")
    assert "captioning: 1 videos" in command(*base).stderr
    assert [record["video"] for record in read_lines(output)][1] == str(videos / "c.mp4")
    assert list(read_lines(output))[0] == first
    assert "whose request is 'recaption', not 'brief'" in mistake(command(*base, "--request", "brief"))


def test_the_request_is_the_originals():
    conversations = json.loads(PROMPTS.read_text(encoding="utf-8"))["conversations"]
    (golden,) = [row for row in conversations if row["name"] == "recaption"]
    assert REQUESTS["recaption"] == golden["actions"][0][1]
    assert request_of("brief", "What now?") == ("own", "What now?")
    with pytest.raises(CaptionError, match="There is no request 'poem'. Requests: recaption, describe, brief"):
        request_of("poem", None)


def test_parquet_is_written_and_continued(command, folder, videos, tmp_path):
    output = tmp_path / "captions.parquet"
    base = ("--model", folder, "--output", output, "--max-new-tokens", 2, "--instruction", "What is it?")
    assert command("caption", tmp_path / "list.txt", *base).exit_code == 0
    assert [row["video"] for row in parquet.read_table(output).to_pylist()] == [str(tmp_path / "videos/more/b.mp4")]
    result = command("caption", videos, *base)
    assert "captioning: 1 videos" in result.stderr
    rows = parquet.read_table(output).to_pylist()
    assert [row["video"] for row in rows] == [str(videos / "a.mp4"), str(videos / "more/b.mp4")]
    assert {row["request"] for row in rows} == {"own"}
    assert not list(tmp_path.glob("*.partial*"))


def test_a_damaged_video_is_told_and_does_not_stop_the_others(command, folder, videos, tmp_path):
    (videos / "a.mp4").write_bytes(b"nothing")
    result = command("caption", videos, "--model", folder, "--output", tmp_path / "c.jsonl", "--max-new-tokens", 2)
    assert "2 videos, 1 unreadable" in result.stderr
    broken, whole = read_lines(tmp_path / "c.jsonl")
    assert "a.mp4" in broken["error"]
    assert broken["caption"] == ""
    assert "error" not in whole


def test_videos_are_found(videos, tmp_path):
    (tmp_path / "list.jsonl").write_text('{"video": "videos/a.mp4"}\n{"video": "http://x.org/y.mp4"}\n', "utf-8")
    assert find_videos([str(tmp_path / "list.jsonl"), str(videos)]) == [
        str(videos / "a.mp4"),
        "http://x.org/y.mp4",
        str(videos / "more/b.mp4"),
    ]
    (tmp_path / "bad.jsonl").write_text('{"path": "videos/a.mp4"}\n', "utf-8")
    with pytest.raises(CaptionError, match=r"bad\.jsonl, line 1: no `video`"):
        find_videos([str(tmp_path / "bad.jsonl")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptionError, match="no videos there"):
        find_videos([str(tmp_path / "empty")])
    with pytest.raises(CaptionError, match="no such file or folder"):
        find_videos([str(tmp_path / "nowhere.mp4")])


def test_other_outputs_are_refused(command, folder, videos, tmp_path):
    assert ".jsonl or .parquet" in mistake(
        command("caption", videos, "--model", folder, "--output", tmp_path / "captions.csv")
    )


@pytest.mark.slow
def test_two_processes_write_what_one_writes(folder, videos, tmp_path):
    words = ["-m", "video_lmms.cli", "caption", str(videos), "--model", str(folder), "--device", "cpu"]
    words += ["--max-new-tokens", "3", "--output"]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    for name, prefix in (("one", []), ("two", launch)):
        line = [sys.executable, *prefix, *words, str(tmp_path / f"{name}.jsonl")]
        # Equal sums, to the bit: sums depend on the number of threads.
        subprocess.run(line, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    one, two = (list(read_lines(tmp_path / f"{name}.jsonl")) for name in ("one", "two"))
    for record in one + two:
        record.pop("timing")
    assert one == two
    assert len(one) == 2
    assert not list(tmp_path.glob("*.[0-9]*.jsonl"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is an extra: pip install video-lmms[ray]")
def test_a_ray_cluster_writes_the_same_captions(command, folder, videos, tmp_path):
    base = ["caption", str(videos), "--model", str(folder), "--max-new-tokens", "3", "--output"]
    command(*base, tmp_path / "one.jsonl")
    line = [sys.executable, "-m", "video_lmms.cli", *base, str(tmp_path / "many"), "--ray", "1"]
    quiet = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    subprocess.run(line, check=True, capture_output=True, env=os.environ | quiet)
    found = parquet.read_table(tmp_path / "many").to_pylist()
    wanted = {record["video"]: record["caption"] for record in read_lines(tmp_path / "one.jsonl")}
    assert {row["video"]: row["caption"] for row in found} == wanted


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(command, folder, videos, tmp_path):
    result = command("caption", videos, "--model", folder, "--output", tmp_path / "out", "--ray", 1)
    assert 'pip install "video-lmms[ray]"' in mistake(result)
