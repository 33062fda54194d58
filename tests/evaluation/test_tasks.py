# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Every benchmark is read from its published format, and scores what perfect, constant and random answers must get."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from benchmark_files import WRITERS, write_json
from stub_predictors import INFO, StubPredictor, at_random, constant, perfect

from video_lmms.evaluation.prompts import STYLES
from video_lmms.evaluation.runner import answer_questions, questions_of
from video_lmms.evaluation.scoring import score_run
from video_lmms.evaluation.tasks import TASKS, TaskDataError, find_task, read_samples
from video_lmms.evaluation.tasks import world as world_task
from video_lmms.evaluation.tasks.base import without_letter
from video_lmms.evaluation.tasks.mvbench import FOLDERS


CHOICE = [name for name, task in TASKS.items() if task.kind == "choice"]
OPEN = [name for name, task in TASKS.items() if task.kind in ("open", "chat")]


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory):
    """name -> folder with its data, written once."""
    written: dict = {}

    def folder(name: str) -> Path:
        writer = WRITERS[name]
        if writer not in written:
            written[writer] = tmp_path_factory.mktemp("benchmark")
            writer(written[writer], random.Random(7))
        return written[writer]

    return folder


def run(name: str, data: Path, output: Path, predictor: StubPredictor) -> dict:
    """The task's entry of the results."""
    task = TASKS[name]
    questions = questions_of({name: read_samples(task, data)}, [task], "stop")
    answer_questions(output, predictor, questions, INFO | {"tasks": {name: 1}})
    return score_run(output)["tasks"][name]


def test_every_task_has_data_in_its_format():
    assert set(WRITERS) == set(TASKS) - {"world"}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", CHOICE)
def test_choices(name, style, benchmark_folder, tmp_path):
    data = benchmark_folder(name)
    samples = [sample for sample in read_samples(TASKS[name], data) if sample.expected is not None]
    best = run(name, data, tmp_path / "perfect", StubPredictor(perfect, style))
    assert (best["metric"], best["value"], best["error"], best["n"]) == ("accuracy", 100.0, 0.0, len(samples))
    assert best["unreadable"] == 0
    assert all(part["value"] == 100.0 for part in best["subsets"].values())
    assert sum(part["n"] for part in best["subsets"].values()) in (0, len(samples))
    if style != "plain":
        return
    shares = [[sample.expected == "A" for sample in samples]]
    if TASKS[name].mean_over == "subsets":
        groups = dict.fromkeys(sample.subset for sample in samples)
        shares = [[sample.expected == "A" for sample in samples if sample.subset == group] for group in groups]
    always_a = run(name, data, tmp_path / "constant", StubPredictor(constant))
    assert always_a["value"] == pytest.approx(100 * sum(sum(share) / len(share) for share in shares) / len(shares))
    guessed = run(name, data, tmp_path / "random", StubPredictor(at_random(3)))
    chance = sum(1 / len(sample.choices) for sample in samples) / len(samples)
    assert abs(guessed["value"] / 100 - chance) < 4 * math.sqrt(chance / len(samples))
    assert guessed["interval"][0] <= guessed["value"] <= guessed["interval"][1]


@pytest.mark.parametrize("name", OPEN)
def test_open_questions(name, benchmark_folder, tmp_path):
    data = benchmark_folder(name)
    assert run(name, data, tmp_path / "perfect", StubPredictor(perfect))["value"] == 100.0
    assert run(name, data, tmp_path / "random", StubPredictor(at_random()))["value"] == 0.0


def test_grounding(benchmark_folder, tmp_path):
    data = benchmark_folder("charades_sta")
    best = run("charades_sta", data, tmp_path / "perfect", StubPredictor(perfect))
    assert (best["metric"], best["value"]) == ("mIoU", 100.0)
    assert set(best["others"].values()) == {100.0}
    assert run("charades_sta", data, tmp_path / "none", StubPredictor(constant))["value"] == 0.0
    samples = read_samples(TASKS["charades_sta"], data)
    halves = run("charades_sta", data, tmp_path / "half", StubPredictor(lambda task, sample: half(*sample.expected)))
    assert halves["value"] == pytest.approx(50.0, abs=1e-6)
    assert [halves["others"][f"R@1, IoU {bound}"] for bound in (0.3, 0.7)] == [100.0, 0.0]
    assert len(samples) == halves["n"]


def half(start: float, end: float) -> str:
    return f"from {start!r} to {(start + end) / 2!r}"


def test_the_synthetic_world_is_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(world_task, "CLIPS_PER_TYPE", 2)
    monkeypatch.setattr(world_task, "VISIBLE_TYPES", ("direction", "colour"))
    data = tmp_path / "data"
    assert run("world", data, tmp_path / "perfect", StubPredictor(perfect))["value"] == 100.0
    clip = data / "colour/00000.mp4"
    before = clip.stat().st_mtime_ns
    result = run("world", data, tmp_path / "constant", StubPredictor(constant))
    assert result["value"] == 0.0
    assert set(result["subsets"]) == {"direction", "colour"}
    assert clip.stat().st_mtime_ns == before


def test_mvbench_knows_its_videos(benchmark_folder):
    samples = read_samples(TASKS["mvbench"], benchmark_folder("mvbench"))
    assert len(FOLDERS) == 20
    assert {sample.subset for sample in samples} == set(FOLDERS)
    assert all(sample.video.exists() for sample in samples)
    bounded = next(sample for sample in samples if sample.subset == "action_sequence")
    assert (bounded.start, bounded.end) == (1.5, 7.25)
    assert bounded.video.parts[-3:-1] == ("star", "Charades_v1_480")
    # Frame files are numbered from 1: the bounds count from the first of them.
    frames = next(sample for sample in samples if sample.subset == "episodic_reasoning")
    assert frames.video.is_dir()
    assert (frames.start, frames.end) == pytest.approx((1.5 - 1 / 3, 7.25 - 1 / 3))
    assert frames.details == {"folder_fps": 3.0}


def test_subtitles_are_read_where_asked_for(benchmark_folder):
    for name, spoken in (
        ("videomme_subtitles", ((0.0, 2.5, "Hello there"), (2.5, 9.0, "Now we cook"))),
        ("longvideobench_subtitles", ((1.0, 2.5, "Hello"),)),
    ):
        with_speech = read_samples(TASKS[name], benchmark_folder(name))
        assert with_speech[0].subtitles == spoken
        assert with_speech[-1].subtitles is None
        plain = name.removesuffix("_subtitles")
        assert all(sample.subtitles is None for sample in read_samples(TASKS[plain], benchmark_folder(plain)))
    assert read_samples(TASKS["longvideobench_subtitles"], benchmark_folder("longvideobench"))[1].subtitles == (
        (2.0, 10.0, "Bye"),
    )


def test_egoschema_writes_what_the_server_takes(benchmark_folder, tmp_path):
    result = run("egoschema_full", benchmark_folder("egoschema"), tmp_path, StubPredictor(lambda task, sample: "C"))
    assert (result["answered"], result["n"]) == (60, 40)
    lines = (tmp_path / "submission_egoschema_full.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "q_uid,answer"
    assert lines[1:3] == ["q000,2", "q001,2"]
    assert len(lines) == 61


def test_a_limit_thins_evenly(benchmark_folder):
    samples = read_samples(TASKS["mvbench"], benchmark_folder("mvbench"), limit=20)
    assert [sample.subset for sample in samples] == list(FOLDERS)


def test_what_is_not_as_published_is_named(benchmark_folder, tmp_path):
    with pytest.raises(TaskDataError, match="There is no task 'mvbnch'. Did you mean mvbench?"):
        find_task("mvbnch")
    with pytest.raises(TaskDataError, match=r"holds none of MVBench's files"):
        read_samples(TASKS["mvbench"], tmp_path)
    with pytest.raises(TaskDataError, match=r"holds none of charades_sta_test\.txt"):
        read_samples(TASKS["charades_sta"], tmp_path)
    write_json(tmp_path / "json/action_count.json", [{"video": "a.mp4", "question": "?", "candidates": ["1", "2"]}])
    with pytest.raises(TaskDataError, match=r"does not hold MVBench as published \(KeyError: 'answer'\)"):
        read_samples(TASKS["mvbench"], tmp_path)
    row = {"video": "a.mp4", "question": "?", "candidates": ["1", "2"], "answer": "3"}
    write_json(tmp_path / "json/action_count.json", [row])
    with pytest.raises(TaskDataError, match=r"row 0: the answer '3' is none of the options \['1', '2'\]"):
        read_samples(TASKS["mvbench"], tmp_path)
    write_json(tmp_path / "json/action_count.json", [])
    with pytest.raises(TaskDataError, match="holds no samples of MVBench"):
        read_samples(TASKS["mvbench"], tmp_path)
    write_json(tmp_path / "test_q.json", [{"video_name": "a", "question": "?"}])
    write_json(tmp_path / "test_a.json", [])
    with pytest.raises(TaskDataError, match=r"test_q\.json has 1 rows, test_a\.json has 0"):
        read_samples(TASKS["msvd_qa"], tmp_path)


def test_missing_videos_stop_the_run_or_are_left_out(tmp_path):
    row = {"question": "?", "candidates": ["1", "2"], "answer": "1"}
    write_json(tmp_path / "json/action_count.json", [row | {"video": f"{name}.mp4"} for name in "abcde"])
    (tmp_path / "perception/videos").mkdir(parents=True)
    (tmp_path / "perception/videos/c.mp4").touch()
    task = TASKS["mvbench"]
    samples = {"mvbench": read_samples(task, tmp_path)}
    with pytest.raises(TaskDataError, match=r"4 of 5 videos are missing: .*a\.mp4, .*b\.mp4, .*d\.mp4 and 1 more"):
        questions_of(samples, [task], "stop")
    assert [sample.id for _, sample in questions_of(samples, [task], "skip")] == ["action_count/2"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [("A. red", "red"), ("(B) red", "red"), ("C) red", "red"), ("red", "red"), ("A man", "A man"), ("D: x", "x")],
)
def test_letters_of_options(option, expected):
    assert without_letter(option) == expected
