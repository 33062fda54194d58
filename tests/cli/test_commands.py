# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms convert`, `verify` and `estimate`."""

from __future__ import annotations

import json
import shutil
import sys

from checkout import ROOT, run
from tiny_pllava import ORIGINAL

from video_lmms.data.rows import read_rows


def test_help_lists_the_commands(command):
    result = command("--help")
    for name in ("ask", "convert", "verify", "publish", "doctor", "estimate"):
        assert name in result.stdout


def test_commands_import_nothing_heavy_before_they_run():
    listing = "import sys, video_lmms; old = set(sys.modules); import video_lmms.cli; print(*set(sys.modules) - old)"
    new = run(sys.executable, "-c", listing, cwd=ROOT / "tests").stdout.split()
    assert "video_lmms.cli.ask" in new
    assert {name for name in new if name.startswith("video_lmms.")} == {
        name for name in new if name.split(".")[:2] == ["video_lmms", "cli"]
    }
    assert not {"torch", "transformers", "av"} & set(new)


def test_convert_forwards_to_the_script(command, tmp_path, clip):
    target = tmp_path / "converted"
    options = ("--model-dir", ORIGINAL, "--pooling-shape", 16, 2, 2, "--output", target)
    result = command("convert", "pllava", *options)
    assert result.exit_code == 0, result.output
    assert command("verify", target).exit_code == 0
    answer = command("ask", clip, "What do you see?", "--model", target, "--max-new-tokens", 3, "--json")
    assert json.loads(answer.stdout)["new_tokens"] == 3


def test_convert_passes_help_and_usage_errors_on(command):
    assert "Models: " in command("convert").stdout
    assert "--model-dir" in command("convert", "pllava", "--help").stdout
    assert command("convert", "pllava", "--no-such-option").exit_code == 2


def test_convert_names_unknown_models_and_bad_sources(command, tmp_path):
    result = command("convert", "plava")
    assert result.exit_code == 2
    assert "Did you mean pllava?" in result.stderr
    result = command("convert", "pllava", "--model-dir", tmp_path, "--output", tmp_path / "out")
    assert result.exit_code != 0
    assert "config.json" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_verify_prints_lines_or_json(command, folder):
    result = command("verify", folder)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"{folder}: verified"
    report = json.loads(command("verify", folder, "--json").stdout)
    assert report["passed"] is True
    assert report["findings"][1] == {
        "what": "auto_map",
        "status": "ok",
        "detail": "8 Auto classes find their code in the folder",
    }


def test_verify_fails_with_code_1_on_a_damaged_folder_and_2_on_none(command, folder, tmp_path):
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "video_index.py").unlink()
    result = command("verify", damaged)
    assert result.exit_code == 1
    assert "video_index.py" in result.stdout
    assert result.stdout.splitlines()[-1] == f"{damaged}: NOT verified"
    result = command("verify", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "There is no folder" in result.stderr


def test_estimate_needs_no_weights(command, clip):
    result = command("estimate", "pllava-7b", clip)
    assert result.exit_code == 0
    assert result.stdout.startswith("pllava-7b: 7,05")
    assert f"{clip}: 16 of 90 frames, 2,304 tokens" in result.stdout
    report = json.loads(command("estimate", "pllava-7b", clip, clip, "--json", "--text-tokens", 92).stdout)
    assert report["prompt_tokens"] == 2 * 2304 + 92
    assert report["memory"]["weights"] == 2 * report["parameters"]["total"]


def test_estimate_knows_clips_and_their_dates(command, clip):
    """Two clips of 2 seconds in 3 seconds of video; the words beside them are the prompt's and the dates."""
    report = json.loads(command("estimate", "apollo-7b", clip, "--json", "--text-tokens", 92).stdout)
    (video,) = report["videos"]
    assert (video["sampled_frames"], video["tokens"]) == (8, 2 * 128)
    assert report["prompt_tokens"] == 2 * 128 + 92 + video["text_tokens"]
    assert report["memory"]["weights"] == 2 * report["parameters"]["total"]
    assert 40 < video["text_tokens"] < 80


def test_estimate_names_mistakes(command, clip):
    for arguments, message in (
        (("pllava-7b", clip.with_name("h264.mp3")), "Did you mean"),
        (("pllava-8b", clip), "Did you mean pllava-7b"),
        ((ORIGINAL, clip), "video-lmms convert pllava"),
        (("pllava-7b", clip, "--dtype", "int8"), "Use float32"),
    ):
        result = command("estimate", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr


def test_world_draws_a_data_set(command, tmp_path):
    result = command(
        "world", tmp_path, "--kinds", "colour,direction", "--count", 3, "--turns", 2, "--split", "held_out"
    )
    assert result.exit_code == 0
    rows = read_rows([tmp_path / "chats.jsonl"])
    assert [len(row["messages"]) for row in rows] == [4, 4, 4]
    again = command("world", tmp_path / "other", "--count", 3, "--turns", 2, "--split", "held_out")
    assert again.exit_code == 0
    assert [row["messages"][1] for row in read_rows([tmp_path / "other/chats.jsonl"])] == [
        row["messages"][1] for row in rows
    ]
    unknown = command("world", tmp_path, "--kinds", "smell")
    assert unknown.exit_code == 2
    assert "smell" in unknown.stderr
