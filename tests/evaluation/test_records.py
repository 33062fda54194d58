# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: whole lines or none, resumed or refused."""

from __future__ import annotations

import json

import pytest

from video_lmms.evaluation.records import (
    JsonLines,
    RecordError,
    join_samples,
    read_lines,
    read_run,
    read_samples,
    read_scores,
    start_run,
    write_object,
)


INFO = {"tasks": {"mvbench": "1"}, "model": "tiny", "arguments": {"limit": 3}, "seed": 0, "device": "cpu"}


def sample(number: int, answer: str = "A", task: str = "mvbench") -> dict:
    return {"task": task, "id": str(number), "answer": answer}


def test_lines_are_written_and_read(tmp_path):
    with JsonLines(tmp_path / "new" / "lines.jsonl") as file:
        file.append({"text": "naïve\n“quotes”"})
        file.append({"number": 2})
    assert list(read_lines(tmp_path / "new" / "lines.jsonl")) == [{"text": "naïve\n“quotes”"}, {"number": 2}]


@pytest.mark.parametrize("torn", ['{"id": 3, "tex', '{"id": 3}', "x" * 200_000])
def test_a_torn_line_is_not_read_and_mended_when_writing_goes_on(tmp_path, torn):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"id": 1}\n{"id": 2}\n' + torn, encoding="utf-8")
    assert [record["id"] for record in read_lines(path)] == [1, 2]
    with JsonLines(path) as file:
        file.append({"id": 4})
    assert [record["id"] for record in read_lines(path)] == [1, 2, 4]


def test_a_file_of_one_torn_line_is_emptied(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"id": 1', encoding="utf-8")
    JsonLines(path).close()
    assert path.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize(("line", "message"), [("{", "line 2: no JSON"), ("[1]", "got list")])
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{{"id": 1}}\n{line}\n{{"id": 2}}\n', encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        list(read_lines(path))


def test_a_run_is_resumed_as_itself_only(tmp_path):
    start_run(tmp_path, INFO)
    start_run(tmp_path, INFO | {"device": "cuda"})
    with pytest.raises(RecordError, match='holds another run: its model is "tiny", this one\'s is "large"'):
        start_run(tmp_path, INFO | {"model": "large"})
    with pytest.raises(RecordError, match=r'its arguments is \{"limit": 3\}'):
        start_run(tmp_path, INFO | {"arguments": {"limit": 4}})


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"holds no run\.json"):
        read_run(tmp_path)


def test_what_processes_wrote_is_joined_in_order(tmp_path):
    start_run(tmp_path, INFO)
    for process, numbers in enumerate([(2, 0), (3, 1)]):
        with JsonLines(tmp_path / f"samples.{process}.jsonl") as file:
            for number in numbers:
                file.append(sample(number, f"answer {number}"))
    assert {record["id"] for record in read_samples(tmp_path)} == {"0", "1", "2", "3"}
    join_samples(tmp_path, [("mvbench", str(number)) for number in range(4)])
    assert [record["answer"] for record in read_run(tmp_path).samples] == [f"answer {n}" for n in range(4)]
    assert not list(tmp_path.glob("samples.*.jsonl"))
    # Joining what is joined changes nothing, and a repeated sample counts once.
    with JsonLines(tmp_path / "samples.0.jsonl") as file:
        file.append(sample(1, "another answer"))
    join_samples(tmp_path, [("mvbench", str(number)) for number in range(4)])
    assert [record["answer"] for record in read_samples(tmp_path)] == [f"answer {n}" for n in range(4)]


def test_a_later_score_takes_the_place_of_an_earlier(tmp_path):
    start_run(tmp_path, INFO)
    base = {"task": "vcg", "id": "1", "judge": "exact"}
    with JsonLines(tmp_path / "scores.jsonl") as file:
        for record in (
            base | {"aspect": "detail", "score": 1},
            base | {"aspect": "context", "score": 2},
            base | {"aspect": "detail", "score": 3},
            base | {"judge": "other", "score": 4},
        ):
            file.append(record)
    assert [record["score"] for record in read_scores(tmp_path)] == [2, 3, 4]
    assert [record["score"] for record in read_scores(tmp_path, judge="exact")] == [2, 3]
    write_object(tmp_path / "results.json", {"judge": "exact", "tasks": {}})
    assert read_run(tmp_path).results == json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
