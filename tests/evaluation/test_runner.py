# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs: what is recorded, what is resumed, what a kill costs, and how little the harness adds."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from benchmark_files import WRITERS
from stub_predictors import INFO, StubPredictor, constant, perfect

from video_lmms.evaluation.records import RecordError, read_run, read_samples
from video_lmms.evaluation.runner import answer_questions, questions_of
from video_lmms.evaluation.scoring import compare_runs, comparison_table, score_run
from video_lmms.evaluation.tasks import TASKS
from video_lmms.evaluation.tasks import read_samples as read_task


KILLS = 20


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mvbench")
    WRITERS["mvbench"](folder, random.Random(7))
    return folder


def questions(data: Path) -> list:
    task = TASKS["mvbench"]
    return questions_of({"mvbench": read_task(task, data)}, [task], "stop")


def run(data: Path, output: Path, predictor: StubPredictor, **options: object) -> list:
    return answer_questions(output, predictor, questions(data), INFO | {"tasks": {"mvbench": 1}}, **options)


class StopsAfter(StubPredictor):
    """Fails at the n-th sample."""

    def __init__(self, count: int):
        super().__init__(perfect)
        self.count = count

    def answer(self, task, prepared):
        self.count -= 1
        if self.count < 0:
            raise KeyboardInterrupt
        return super().answer(task, prepared)


def test_a_record_tells_all(data, tmp_path):
    records = run(data, tmp_path, StubPredictor(perfect, "longvu"))
    assert len(records) == 200
    first = json.loads((tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first == records[0]
    assert (first["task"], first["id"], first["subset"]) == ("mvbench", "action_sequence/0", "action_sequence")
    assert first["media"] == [
        {"type": "video", "path": str(data / "video/star/Charades_v1_480/clip0.mp4"), "start": 1.5, "end": 7.25}
    ]
    assert (first["frames"], first["times"], first["num_video_tokens"]) == ([[0, 1]], [[0.0, 0.5]], 2)
    assert first["versions"] == {"task": "1", "prompt": "longvu/1"}
    assert set(first["timing"]) == {"prepare_s", "generate_s"}
    assert first["answer"] == first["expected"]


def test_an_interrupted_run_goes_on_where_it_stopped(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "two", StopsAfter(30))
    assert len(read_samples(tmp_path / "two")) == 30
    rest = StopsAfter(170)
    records = run(data, tmp_path / "two", rest)
    assert rest.count == 0
    assert records == run(data, tmp_path / "one", StubPredictor(perfect))
    for name in ("samples.jsonl",):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    with pytest.raises(RecordError, match='its model is "stub", this one\'s is "other"'):
        answer_questions(tmp_path / "two", rest, questions(data), INFO | {"tasks": {"mvbench": 1}, "model": "other"})


def test_several_processes_make_the_same_file(data, tmp_path):
    """Threads here; processes under a launcher, in the slow tests."""
    barrier = Barrier(3)

    def work(process: int) -> None:
        shared = {"process": process, "processes": 3, "wait": barrier.wait}
        run(data, tmp_path / "three", StubPredictor(perfect), **shared)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    run(data, tmp_path / "one", StubPredictor(perfect))
    assert (tmp_path / "three/samples.jsonl").read_bytes() == (tmp_path / "one/samples.jsonl").read_bytes()
    assert [path.name for path in sorted((tmp_path / "three").iterdir())] == ["run.json", "samples.jsonl"]


def test_a_run_goes_on_with_another_number_of_processes(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, StopsAfter(5), process=0, processes=3)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, StopsAfter(7), process=1, processes=3)
    rest = StopsAfter(188)
    assert len(run(data, tmp_path, rest)) == 200
    assert rest.count == 0


def test_two_runs_are_compared(data, tmp_path):
    run(data, tmp_path / "best", StubPredictor(perfect))
    run(data, tmp_path / "dull", StubPredictor(constant))
    for name in ("best", "dull"):
        score_run(tmp_path / name)
    differences = compare_runs(tmp_path / "best", tmp_path / "dull")
    found = differences["mvbench"]
    wrong = sum(sample.expected != "A" for _, sample in questions(data))
    assert (found.better, found.worse, found.estimate.n) == (wrong, 0, 200)
    assert found.estimate.value == pytest.approx(100 * wrong / 200)
    assert found.p_value < 0.001
    table = comparison_table("best", "dull", differences)
    assert f"| MVBench | {100 * wrong / 200:+.1f} ± " in table
    other = tmp_path / "other"
    answer_questions(other, StubPredictor(perfect), [], INFO | {"tasks": {"videomme": 1}})
    with pytest.raises(RecordError, match="have no task in common"):
        compare_runs(tmp_path / "best", other)


def test_results_are_written_for_readers_and_for_cards(data, tmp_path):
    run(data, tmp_path, StubPredictor(constant))
    entry = score_run(tmp_path)["tasks"]["mvbench"]
    lines = (tmp_path / "results.md").read_text(encoding="utf-8").splitlines()
    assert f"| MVBench | accuracy (%) | {entry['value']:.1f} ± {entry['error']:.1f} |" in "\n".join(lines)
    assert sum(line.startswith("| action_sequence |") for line in lines) == 1
    card = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert card["results"] == [
        {
            "task": "video question answering",
            "dataset": "MVBench",
            "metric": "accuracy",
            "value": round(entry["value"], 2),
        }
    ]
    # Scoring again changes nothing.
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    score_run(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert read_run(tmp_path).results["tasks"]["mvbench"]["n"] == 200


def test_a_video_that_cannot_be_read_counts_as_wrong(data, tmp_path):
    class Blind(StubPredictor):
        def answer(self, task, prepared):
            return super().answer(task, prepared) | {"error": "no video", "frames": [], "times": []}

    run(data, tmp_path, Blind(perfect))
    entry = score_run(tmp_path)["tasks"]["mvbench"]
    assert (entry["value"], entry["unreadable"]) == (0.0, 200)


def test_the_harness_adds_little(data, tmp_path, capsys):
    """Told, not asserted: what a sample costs beyond its model, records on disk included."""
    start = time.perf_counter()
    records = run(data, tmp_path, StubPredictor(perfect))
    overhead = 1000 * (time.perf_counter() - start) / len(records)
    with capsys.disabled():
        print(f"\nharness overhead: {overhead:.2f} ms a sample")
    assert len(records) == 200


@pytest.mark.slow
def test_twenty_kills_lose_at_most_a_sample_each(data, tmp_path):
    """Each run is killed without warning at a random moment; what it had answered is there, and nothing twice."""
    rng = random.Random(0)
    expected = run(data, tmp_path / "whole", StubPredictor(perfect))
    command = [sys.executable, str(Path(__file__).with_name("killed_run.py")), str(data), str(tmp_path / "killed")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as runs:

        def answered_until_end() -> int:
            return sum(line == "answered\n" for line in iter(runs.stdout.readline, "ended\n"))

        for _ in range(KILLS):
            before = len(read_samples(tmp_path / "killed"))
            runs.stdin.write("start\n")
            process = int(runs.stdout.readline())
            answered = 0
            for _ in range(rng.randint(1, 8)):
                assert runs.stdout.readline() == "answered\n"
                answered += 1
            time.sleep(rng.uniform(0, 0.05))
            os.kill(process, signal.SIGKILL)
            answered += answered_until_end()
            kept = len(read_samples(tmp_path / "killed")) - before
            # A run says "answered" before the record is written: at most that one is lost.
            assert answered - 1 <= kept <= answered
        runs.stdin.write("finish\n")
        runs.stdout.readline()
        assert 0 < answered_until_end() < len(expected)
        runs.stdin.close()
    assert (tmp_path / "killed/samples.jsonl").read_bytes() == (tmp_path / "whole/samples.jsonl").read_bytes()


@pytest.mark.slow
def test_accelerate_shares_a_run_among_processes(tmp_path):
    """Two processes on the CPU give what one gives."""
    command = [
        "-m",
        "video_lmms.cli",
        "evaluate",
        "world",
        "--model",
        "tiny-pllava",
        "--limit",
        "10",
        "--device",
        "cpu",
    ]
    command += ["--data", str(tmp_path / "data")]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    for name, prefix in (("two", launch), ("one", [sys.executable])):
        line = [*prefix, *command, "--output", str(tmp_path / name)]
        # Equal sums, to the bit: sums depend on the number of threads.
        subprocess.run(line, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    two, one = (read_run(tmp_path / name) for name in ("two", "one"))
    assert [(record["id"], record["answer"]) for record in two.samples] == [
        (record["id"], record["answer"]) for record in one.samples
    ]
    assert two.results == one.results
