# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Teaches a shipped tiny model a type of question it does not know, by LoRA, once alone and once among old questions:

    python -m video_lmms.training.new_question pllava --output runs/new-question [KEY=VALUE ...]

The command draws clips, trains by the `tiny` recipe as `video-lmms train` does, and asks what was saved about clips it
never saw. Models of this size forget what is not in the data; the table shows it beside what a share of old questions
keeps. Its numbers are arguments; the defaults are those of the README's table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from video_lmms.data.questions import answers_of
from video_lmms.data.world import Sample, draw_long_samples, draw_samples, write_rows
from video_lmms.hub.folders import write_json
from video_lmms.hub.loading import load
from video_lmms.training.recipes import sft
from video_lmms.training.results import load_trained
from video_lmms.training.tiny import BUILDERS, default_recipe, evaluate, folder_of, held_out_rows, training_samples


RECIPE = Path(sft.__file__).with_name("tiny.yaml")
# Clips that neither the tiny model nor its card has seen.
_SEED = 500
_NEEDLE_SECONDS = (3.0, 8.0)
# A chat's last question chooses the frames: of a chat with several, the others cannot be answered.
_ONE_QUESTION = ("videotgb",)


@dataclass
class Experiment:
    """What is taught and with what; every field but `settings` is an option of the command.

    Attributes:
        kind: type of the new question.
        clips: training clips with a new question.
        old_clips: training clips with old questions, for the run with replay. Models that learned needles get further
            clips with these on top, as in their own training.
        steps: optimiser steps on new questions alone.
        replay_steps: of the run with replay.
        batch_size: clips per step.
        held_out: clips per question type for evaluation.
        settings: further options of the recipe.
    """

    kind: str
    clips: int = 1000
    old_clips: int = 600
    steps: int = 200
    replay_steps: int = 300
    batch_size: int = 16
    held_out: int = 100
    settings: Mapping[str, str] = field(default_factory=dict)


_VIDEOTGB = {
    "learning_rate": "3e-3",
    "frozen_modules": "grounding flow_model",
    "vision_tower": "full",
    "vision_tower_lr": "1e-3",
}
EXPERIMENTS = {
    "apollo": Experiment("needle", 1000, 1500, 400, 900, settings={"learning_rate": "3e-3"}),
    "longvu": Experiment("when", old_clips=150, held_out=50, settings={"connector": "lora"}),
    # Its four old types need more replay than others', and smaller steps.
    "pllava": Experiment("when", 600, 1500, 150, 500, settings={"learning_rate": "3e-3"}),
    "video_llama": Experiment("when"),
    # What chooses frames stays; its tower has never been asked to count, and learns to in full.
    "videotgb": Experiment("count", 2000, 1200, 900, 1500, settings=_VIDEOTGB),
}


def run(name: str, experiment: Experiment, output: Path) -> dict[str, Any]:
    """Draws, trains twice, asks three times.

    Args:
        name: of a tiny model that ships.
        experiment: what is taught.
        output: folder for clips, runs and `new_question.json`.

    Returns:
        The record: the experiment, shares of right answers by column and question type, chance and share of replay.

    Raises:
        ValueError: the model knows this type of question already.
    """
    old = BUILDERS[name].KINDS
    if experiment.kind in old:
        raise ValueError(f"tiny {name} knows {experiment.kind!r} already, as it knows {', '.join(old)}. Name another.")
    measured = replace(default_recipe(name), seed=_SEED, held_out=experiment.held_out)
    asked = held_out_rows(old, measured, output / "clips")
    asked += write_rows(draw_new(experiment.kind, experiment.held_out, "held_out"), output / "clips" / "asked")
    new_rows = write_rows(draw_new(experiment.kind, experiment.clips, "train"), output / "clips" / "new")
    turns = 1 if name in _ONE_QUESTION else measured.turns
    replayed = training_samples(name, replace(measured, clips=experiment.old_clips, turns=turns))
    old_rows = write_rows(replayed, output / "clips" / "old")
    new_file, old_file = (
        _write_chats(rows, output / f"{label}.jsonl") for label, rows in (("new", new_rows), ("old", old_rows))
    )
    accuracy = {"before": evaluate(*load(folder_of(name)), asked)}
    for column, data, steps in (
        ("new questions alone", [new_file], experiment.steps),
        ("with old questions", [new_file, old_file], experiment.replay_steps),
    ):
        folder = output / column.replace(" ", "_")
        sft.main(_words(name, experiment, data, steps, folder, output / "features"))
        accuracy[column] = evaluate(*load_trained(folder / "final"), asked)
    record = {
        "model": folder_of(name),
        "experiment": asdict(experiment),
        "chance": 1 / len(answers_of(experiment.kind)),
        "replay_share": len(old_rows) / (len(old_rows) + len(new_rows)),
        "accuracy": accuracy,
    }
    write_json(output / "new_question.json", record)
    return record


def draw_new(kind: str, count: int, split: str) -> list[Sample]:
    """Clips with a new question; those with a needle are short."""
    if kind == "needle":
        return draw_long_samples(_SEED, count, split, _NEEDLE_SECONDS)
    return draw_samples(_SEED, count, (kind,), split)


def table(record: Mapping[str, Any]) -> str:
    """The record as Markdown: a row per question type, the new one first."""
    accuracy, new = record["accuracy"], record["experiment"]["kind"]
    kinds = [new, *(kind for kind in accuracy["before"] if kind != new)]
    lines = [f"| {record['model']} | {' | '.join(accuracy)} |", "| --- |" + " --- |" * len(accuracy)]
    for kind in kinds:
        label = f"{kind} (new, chance {record['chance']:.0%})" if kind == new else kind
        lines.append(f"| {label} | {' | '.join(f'{column[kind]:.1%}' for column in accuracy.values())} |")
    return "\n".join(lines) + f"\n\n{record['replay_share']:.0%} of the last column's clips have old questions.\n"


def _write_chats(rows: Sequence[Mapping[str, Any]], file: Path) -> Path:
    file.write_text("".join(json.dumps({"messages": row["messages"]}) + "\n" for row in rows), encoding="utf-8")
    return file


def _words(
    name: str, experiment: Experiment, data: Sequence[Path], steps: int, folder: Path, features: Path
) -> list[str]:
    options = {
        "model_name_or_path": folder_of(name),
        "train_data": " ".join(map(str, data)),
        "output_dir": str(folder),
        "feature_cache": str(features),
        "max_steps": str(steps),
        "per_device_train_batch_size": str(experiment.batch_size),
        **experiment.settings,
    }
    words = ["--config", str(RECIPE)]
    for option, value in options.items():
        words += [f"--{option}", *value.split(" ")]
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m video_lmms.training.new_question", description=__doc__.split("\n")[0]
    )
    parser.add_argument("model", choices=sorted(EXPERIMENTS))
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="options in place of the recipe's")
    parser.add_argument("--output", type=Path, required=True, help="folder for clips, runs and the record")
    numbers = [option for option in fields(Experiment) if option.name != "settings"]
    for option in numbers:
        kind = str if option.name == "kind" else int
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, help="default: the README's")
    options = vars(parser.parse_intermixed_args(argv))
    name, output, settings = (options.pop(option) for option in ("model", "output", "settings"))
    given = {option: value for option, value in options.items() if value is not None}
    given["settings"] = {**EXPERIMENTS[name].settings, **dict(setting.split("=", 1) for setting in settings)}
    sys.stdout.write(table(run(name, replace(EXPERIMENTS[name], **given), output)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
