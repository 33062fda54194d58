# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms evaluate`, `score` and `compare`, with models and clips as users have them."""

from __future__ import annotations

import json
import shutil

import pytest
from benchmark_files import write_json
from judge_endpoint import Endpoint

from video_lmms.evaluation.records import read_run
from video_lmms.evaluation.tasks import TASKS
from video_lmms.evaluation.tasks import world as world_task


@pytest.fixture
def small_world(monkeypatch):
    monkeypatch.setattr(world_task, "CLIPS_PER_TYPE", 2)
    monkeypatch.setattr(world_task, "VISIBLE_TYPES", ("direction", "colour"))


@pytest.fixture(scope="module")
def benchmark(clip, tmp_path_factory):
    """MVBench rows and MSVD-QA rows about a real clip and a folder of its frames."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("data")
    row = {"question": "What is it?", "candidates": ["a test", "a film"], "answer": "a film"}
    write_json(folder / "mvbench/json/action_sequence.json", [row | {"video": "a.mp4", "start": 1.0, "end": 2.0}])
    write_json(folder / "mvbench/json/episodic_reasoning.json", [row | {"video": "b", "start": 1.0, "end": 3.0}])
    target = folder / "mvbench/video/star/Charades_v1_480/a.mp4"
    target.parent.mkdir(parents=True)
    shutil.copyfile(clip, target)
    frames = folder / "mvbench/video/tvqa/frames_fps3_hq/b"
    frames.mkdir(parents=True)
    for number in range(1, 13):
        Image.new("RGB", (64, 48), (20 * number, 0, 0)).save(frames / f"{number:05d}.jpg")
    write_json(folder / "msvd_qa/test_q.json", [{"video_name": "a", "question": "what is it?", "question_id": "7"}])
    write_json(folder / "msvd_qa/test_a.json", [{"answer": "film"}])
    (folder / "msvd_qa/videos").mkdir()
    shutil.copyfile(clip, folder / "msvd_qa/videos/a.avi")
    return folder


def mistake(result) -> str:
    assert result.exit_code == 2
    return result.stderr


def test_tasks_are_listed(command):
    result = command("evaluate", "--list")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in TASKS)
    assert "plain/1, pllava/1, longvu/1, videotgb/1" in result.stdout


def test_the_tiny_model_is_evaluated_on_its_world(command, small_world, tmp_path):
    result = command(
        "evaluate", "world", "--output", tmp_path / "run", "--data", tmp_path / "clips", "--device", "cpu"
    )
    assert result.exit_code == 0
    assert "| synthetic world | accuracy (%) | 100.0 ± 0.0 |" in result.stdout
    run = read_run(tmp_path / "run")
    assert run.info["model"] == "tiny-pllava"
    assert run.info["versions"]["transformers"]
    assert len(run.samples) == 4
    assert all(record["num_video_tokens"] == 128 for record in run.samples)
    # The same command again answers nothing anew.
    before = (tmp_path / "run/samples.jsonl").read_bytes()
    again = command("evaluate", "world", "--output", tmp_path / "run", "--data", tmp_path / "clips", "--device", "cpu")
    assert "evaluating: 0 samples" in again.stderr
    assert (tmp_path / "run/samples.jsonl").read_bytes() == before
    other = command("evaluate", "world", "--output", tmp_path / "run", "--data", tmp_path / "clips", "--limit", 1)
    assert "holds another run" in mistake(other)


def test_pllava_is_asked_in_its_own_prompts(command, folder, benchmark, tmp_path):
    arguments = ("--model", folder, "--data", benchmark, "--output", tmp_path / "run", "--max-new-tokens", 3)
    result = command("evaluate", "mvbench", "msvd_qa", *arguments, "--device", "cpu", "--json")
    assert set(json.loads(result.stdout)["tasks"]) == {"mvbench", "msvd_qa"}
    samples = {(record["task"], record["id"]): record for record in read_run(tmp_path / "run").samples}
    bounded = samples["mvbench", "action_sequence/0"]
    assert bounded["prompt"].endswith("(B) a film \nOnly give the best option. ASSISTANT:Best option:(")
    assert all(1.0 <= seconds <= 2.0 for seconds in bounded["times"][0])
    # Files are numbered from 1: second 1 is at frame 3, the file's index 2, and second 3 at index 8.
    of_frames = samples["mvbench", "episodic_reasoning/0"]
    assert 2 <= of_frames["frames"][0][0] < of_frames["frames"][0][-1] <= 8
    assert samples["msvd_qa", "7"]["prompt"].endswith("ASSISTANT:\nAnswer: In the video,")
    assert samples["msvd_qa", "7"]["versions"] == {"task": "1", "prompt": "pllava/1"}


def test_a_damaged_video_is_recorded(command, folder, benchmark, tmp_path):
    shutil.copytree(benchmark / "msvd_qa", tmp_path / "data")
    (tmp_path / "data/videos/a.avi").write_bytes(b"no video")
    output = tmp_path / "run"
    result = command("evaluate", "msvd_qa", "--model", folder, "--data", tmp_path / "data", "--output", output)
    assert result.exit_code == 0
    run = read_run(output)
    assert "a.avi" in run.samples[0]["error"]
    assert run.results["tasks"]["msvd_qa"]["unreadable"] == 1


def test_runs_are_scored_again_and_compared(command, small_world, tmp_path):
    for name, frames in (("many", 8), ("one", 1)):
        options = ("--data", tmp_path / "clips", "--output", tmp_path / name, "--num-frames", frames)
        assert command("evaluate", "world", *options).exit_code == 0
    before = (tmp_path / "many/results.json").read_bytes()
    assert "| synthetic world |" in command("score", tmp_path / "many").stdout
    assert (tmp_path / "many/results.json").read_bytes() == before
    result = command("compare", tmp_path / "many", tmp_path / "one", "--json")
    assert json.loads(result.stdout)["world"]["estimate"]["n"] == 4
    assert "| synthetic world |" in command("compare", tmp_path / "many", tmp_path / "one").stdout
    assert "holds no run.json" in mistake(command("score", tmp_path / "nowhere"))


def test_what_a_judge_costs_is_told_first(command, folder, benchmark, tmp_path):
    arguments = ("--model", folder, "--data", benchmark, "--output", tmp_path, "--max-new-tokens", 3)
    assert command("evaluate", "msvd_qa", *arguments).exit_code == 0
    judge = ("score", tmp_path, "--judge", "openai:gpt")
    told = command(*judge, "--dry-run", "--judge-price", "0.5,1.5")
    assert told.exit_code == 0
    assert "openai:gpt is asked 1 times: about" in told.stderr
    assert "at the given price" in told.stderr
    assert "more than --judge-budget" in mistake(command(*judge, "--judge-price", "9e6,9e6", "--judge-budget", 1))
    assert "needs --judge-price" in mistake(command(*judge, "--judge-budget", 1))
    assert "takes two numbers" in mistake(command(*judge, "--judge-price", "cheap"))
    unknown = command("score", tmp_path, "--judge", "oracle")
    assert "There is no judge 'oracle'" in mistake(unknown)


def test_an_endpoint_judges_open_answers(command, folder, benchmark, tmp_path):
    arguments = ("--model", folder, "--data", benchmark, "--output", tmp_path, "--max-new-tokens", 3)
    with Endpoint() as endpoint:
        judge = ("--judge", "openai:judge", "--judge-url", endpoint.url)
        result = command("evaluate", "msvd_qa", *arguments, *judge)
        assert result.exit_code == 0
        asked = len(endpoint.requests)
        command("score", tmp_path, *judge)
        assert len(endpoint.requests) == asked
    assert "Judge of open questions: openai:judge." in result.stdout
    run = read_run(tmp_path)
    # Random weights may say nothing at all, which is not asked about.
    (record,) = run.samples
    assert asked == bool(record["answer"].strip())
    assert run.results["tasks"]["msvd_qa"]["value"] == 100.0 * asked


def test_mistakes_are_named(command, tmp_path):
    assert "--output FOLDER" in mistake(command("evaluate", "world"))
    run = ("--output", tmp_path / "run")
    assert "Did you mean mvbench?" in mistake(command("evaluate", "mvbnch", *run))
    assert "There is no prompt style 'x'" in mistake(
        command("evaluate", "mvbench", *run, "--data", benchmark_of_one(tmp_path), "--prompts", "x")
    )
    assert "neither a folder nor a data set" in mistake(command("evaluate", "mvbench", *run, "--data", "no where"))
    assert "stop or skip" in mistake(command("evaluate", "world", *run, "--missing", "ignore"))
    assert "one --data FOLDER is needed for mlvu" in mistake(
        command("evaluate", "mvbench", "mlvu", *run, "--data", f"mvbench={tmp_path}")
    )


def benchmark_of_one(folder):
    row = {"video": "a.mp4", "question": "?", "candidates": ["1", "2"], "answer": "1"}
    write_json(folder / "json/action_count.json", [row])
    (folder / "perception/videos").mkdir(parents=True)
    (folder / "perception/videos/a.mp4").touch()
    return folder
