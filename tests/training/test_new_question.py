# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Teaching the tiny models a new question: what was measured, and the command that measures it."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from checkout import ROOT

from video_lmms.data.questions import answers_of
from video_lmms.training import new_question
from video_lmms.training.new_question import EXPERIMENTS, Experiment, main, run, table
from video_lmms.training.tiny import BUILDERS


# What the command wrote, model by model.
MEASURED = json.loads(Path(__file__).with_name("new_question.json").read_text())
# Points that an old type may lose beside old questions.
LOST = 0.03
ALONE, REPLAYED = "new questions alone", "with old questions"


def worst(record, column):
    """The least share of right answers among the old types."""
    new = record["experiment"]["kind"]
    return min(share for kind, share in record["accuracy"][column].items() if kind != new)


def readme_row(name):
    """The row of README.md as its tests want it."""
    record = MEASURED[name]
    kind, accuracy = record["experiment"]["kind"], record["accuracy"]
    new = " | ".join(f"{accuracy[column][kind]:.0%}" for column in ("before", ALONE, REPLAYED))
    old = " | ".join(f"{worst(record, column):.0%}" for column in ("before", ALONE, REPLAYED))
    return f"| {record['model']} | {kind} | {new} | {old} | {record['replay_share']:.0%} |"


def test_every_tiny_model_has_an_experiment_with_a_question_it_does_not_know():
    assert EXPERIMENTS.keys() == BUILDERS.keys()
    for name, experiment in EXPERIMENTS.items():
        assert experiment.kind not in BUILDERS[name].KINDS
        assert answers_of(experiment.kind)


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_meets_the_requirement(name):
    """From no better than chance to at least 90 %; old types are forgotten alone, and kept beside old questions."""
    record = MEASURED[name]
    kind, accuracy = record["experiment"]["kind"], record["accuracy"]
    assert record["experiment"] == asdict(EXPERIMENTS[name])
    assert record["chance"] == 1 / len(answers_of(kind))
    assert accuracy["before"][kind] <= record["chance"] + 0.1
    assert accuracy[ALONE][kind] >= 0.9
    assert accuracy[REPLAYED][kind] >= 0.9
    assert worst(record, ALONE) < worst(record, "before") - 0.3
    for old in BUILDERS[name].KINDS:
        assert accuracy[REPLAYED][old] >= accuracy["before"][old] - LOST - 1e-9


def test_the_readme_shows_what_was_measured():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| tiny-[a-z-]+ \|(?: [\w%]+ \|){8}$", readme, re.M)
    assert rows == [readme_row(name) for name in MEASURED]


def test_the_table_names_columns_and_chance():
    accuracy = {column: {"when": new, "colour": 1.0} for column, new in (("before", 0.0), (ALONE, 1.0))}
    experiment = {"kind": "when"}
    told = table(
        {"model": "tiny", "experiment": experiment, "chance": 1 / 3, "replay_share": 0.25, "accuracy": accuracy}
    )
    assert told.splitlines()[:4] == [
        "| tiny | before | new questions alone |",
        "| --- | --- | --- |",
        "| when (new, chance 33%) | 0.0% | 100.0% |",
        "| colour | 100.0% | 100.0% |",
    ]
    assert "25% of the last column's clips" in told


def test_a_known_question_is_refused(tmp_path):
    with pytest.raises(ValueError, match="knows 'colour' already"):
        run("pllava", Experiment("colour"), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
def test_the_command_teaches_and_shows_what_is_forgotten(tmp_path, capsys):
    """In a third of the steps, on fresh models: the new answer is learned both times, old ones are kept by replay."""
    flags = ["video_llama", "--output", str(tmp_path), "--clips", "400", "--old-clips", "240", "--held-out", "40"]
    assert main([*flags, "--steps", "80", "--replay-steps", "120"]) == 0
    record = json.loads((tmp_path / "new_question.json").read_text())
    assert table(record) in capsys.readouterr().out
    kind, accuracy = record["experiment"]["kind"], record["accuracy"]
    assert accuracy["before"][kind] < 0.45
    assert accuracy[ALONE][kind] > 0.85
    assert accuracy[REPLAYED][kind] > 0.85
    assert worst(record, ALONE) < 0.7
    assert worst(record, REPLAYED) > max(0.85, worst(record, ALONE) + 0.15)
    # What was asked is what was saved.
    for column in (ALONE, REPLAYED):
        assert (tmp_path / column.replace(" ", "_") / "final" / "adapter_model.safetensors").exists()
    assert new_question.folder_of("video_llama") == record["model"]
