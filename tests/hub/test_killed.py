# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Conversion and publishing killed at any moment: the old state or the complete new one, and a rerun finishes."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from hub.originals import words


# Twenty moments in the slow tier, a few of them whenever tests run.
each_number = pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])


# A conversion that is killed when it has written down its third finished shard, before that gets its final name.
DIES_AFTER_TWO_SHARDS = """
import os, signal
from video_lmms.cli import app
from video_lmms.conversion_scripts.conversion import State
note = State.note
def note_and_die(self, table, name, digest):
    note(self, table, name, digest)
    if len(self.content["shards"]) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
State.note = note_and_die
app({words})
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def moments(seconds: float, count: int) -> list[float]:
    """Random times within a run, one in each of as many equal parts; always the same ones."""
    draw = random.Random(0)
    return [seconds * (number + draw.random()) / count for number in range(count)]


@each_number
@pytest.mark.timeout(900)
def test_a_killed_conversion(worker, kills, tmp_path):
    command = words("pllava", tmp_path / "whole", max_shard_size="100KB")
    worker(*command, "--store-answer")  # fills caches of files, so that the next one tells how long it takes
    shutil.rmtree(tmp_path / "whole")
    complete = worker(*command, "--store-answer")
    assert complete["code"] == 0, complete["err"]
    whole = contents(tmp_path / "whole")
    killed = 0
    for number, moment in enumerate(moments(complete["seconds"], kills)):
        output = tmp_path / f"run-{number}" / "model"
        output.parent.mkdir()
        again = [*command[:-1], str(output), "--store-answer"]
        killed += worker(*again, kill_after=moment)["code"] == -9
        if output.exists():
            assert contents(output) == whole
        stamps = inodes(output.parent.glob(".*/model-0*.safetensors"))
        finished = worker(*again)
        assert finished["code"] == 0, finished["err"]
        assert contents(output) == whole
        assert inodes(output.glob("model-0*.safetensors")).items() >= stamps.items()
        assert list(output.parent.iterdir()) == [output]
    assert killed


def inodes(files: Iterable[Path]) -> dict[str, int]:
    """What tells a file that was kept from another one with the same content."""
    return {file.name: file.stat().st_ino for file in files}


def test_finished_shards_are_kept(worker, tmp_path):
    output = tmp_path / "model"
    command = [*map(str, words("pllava", output, max_shard_size="100KB")), "--no-store-answer"]
    assert worker(code=DIES_AFTER_TWO_SHARDS.format(words=command))["code"] == -9
    kept = inodes(tmp_path.glob(".*/model-0*.safetensors"))
    assert len(kept) == 2
    result = worker(*command)
    assert result["code"] == 0, result["err"]
    whole = inodes(output.glob("model-0*.safetensors"))
    assert len(whole) > 2
    assert whole.items() >= kept.items()


@each_number
@pytest.mark.timeout(900)
def test_a_killed_publication(hub, worker, converted, kills, tmp_path):
    folder = shutil.copytree(converted["pllava"], tmp_path / "model")
    for number in range(3):  # more files that are stored apart from git
        (folder / f"extra-{number}.bin").write_bytes(bytes([number]) * 150_000)
    repo_id = f"me/killed-{kills}"
    assert worker("publish", folder, "--repo-id", repo_id)["code"] == 0
    (folder / "version.txt").write_text("how long does it take?")
    seconds = worker("publish", folder, "--repo-id", repo_id)["seconds"]
    killed = 0
    for number, moment in enumerate(moments(seconds, kills)):
        (folder / "version.txt").write_text(f"{number}")
        (folder / "extra-0.bin").write_bytes(bytes([100 + number]) * 150_000)
        before, old = hub.files(repo_id), contents(folder)
        result = worker("publish", folder, "--repo-id", repo_id, "--json", kill_after=moment)
        killed += result["code"] == -9
        after = hub.files(repo_id)
        assert after == before or is_complete(after, old)
        assert contents(folder) == old
        result = worker("publish", folder, "--repo-id", repo_id, "--json")
        assert result["code"] == 0, result["err"]
        assert json.loads(result["out"])["revision"] == hub.repositories[repo_id].commits[-1][0]
        assert is_complete(hub.files(repo_id), old)
        assert list(tmp_path.iterdir()) == [folder]
    assert killed


def is_complete(files: dict[str, bytes], folder: dict[str, bytes]) -> bool:
    """Whether a revision has all of a folder; publishing itself rewrites the three files that describe it."""
    rewritten = {"config.json", "processor_config.json", "provenance.json", "README.md"}
    return "modeling_pllava.py" in files and all(
        files.get(name) == content for name, content in folder.items() if name not in rewritten
    )


@pytest.mark.parametrize("left", ["state", "half a stage", "torn state"])
def test_what_a_killed_run_left_is_no_obstacle(worker, left, tmp_path):
    """States that a random moment hardly ever hits."""
    output = tmp_path / "model"
    partial = tmp_path / "..model.converted.partial"
    partial.mkdir()
    if left == "half a stage":
        (partial / "model.safetensors").write_bytes(b"half")
    elif left == "torn state":
        (partial / ".conversion.json.part").write_text('{"dig')
        (tmp_path / ".model.converted").mkdir()
        (tmp_path / ".model.converted" / "config.json").write_text("{}")
    result = worker(*words("pllava", output), "--no-store-answer")
    assert result["code"] == 0, result["err"]
    assert list(tmp_path.iterdir()) == [output]
    assert worker("verify", output)["code"] == 0
