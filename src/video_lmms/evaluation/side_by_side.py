# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The five ideas side by side: small models, trained from nothing on the same clips, questions and steps, that spend
about the same number of visual tokens; and each paper's own claim, tested in small.

    video-lmms bench models --output DIR

Trained here are the five and those variants that have to be trained to be compared: PLLaVA that pools time in place of
space, and time beside space (a quarter of the tokens), Apollo without dates, Video-LLaMA without frame positions. A
variant starts from the same weights. What a frame selection is worth is measured on the models that ship, which were
trained for it: LongVU against evenly spaced frames at its own price, VideoTGB against evenly spaced frames.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import VideoLmmError
from .memory import peak_memory
from .records import read_object, read_samples, write_object, write_text
from .scoring import compare_runs, score_run
from .statistics import chance_text


KINDS = ("colour", "direction", "order", "when")
# Visual tokens that a clip may cost.
TOKENS = 32
# Clips of the needle and of the episodes, in which a selection of frames can be right or wrong.
LONG_SECONDS = (60.0, 300.0)


class BudgetError(VideoLmmError):
    """A comparison that cannot be made as asked."""


@dataclass(frozen=True)
class Budget:
    """What every contender gets; all are options of the command.

    Attributes:
        clips: training clips.
        turns: questions about each.
        steps: optimiser steps, over all stages of a model's training.
        batch_size: clips per step.
        learning_rate: at its highest; cosine to zero.
        held_out: clips per type of question that answers are measured on.
        seed: of weights, clips and their order.
    """

    clips: int = 4000
    turns: int = 3
    steps: int = 500
    batch_size: int = 32
    learning_rate: float = 1e-3
    held_out: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Contender:
    """A model, or a variant of one that lacks what its paper argues for.

    Attributes:
        builder: of `training.tiny`.
        label: in the tables.
        config: changes of the configuration.
        processor: changes of the processor.
        video_processor: changes of the video processor.
        without: removes the idea from model and processor; None for the model itself.
        of: the contender that it is a variant of.
    """

    builder: str
    label: str
    config: dict[str, Any] = field(default_factory=dict)
    processor: dict[str, Any] = field(default_factory=dict)
    video_processor: dict[str, Any] = field(default_factory=dict)
    without: Callable[[Any, Any], None] | None = None
    of: str = ""


def without_dates(model: Any, processor: Any) -> None:
    """Apollo's clips one after the other, and no word on when they are."""

    def replace_video_token(video_inputs: dict[str, Any], video_idx: int, **kwargs: Any) -> str:
        clip = processor.video_token * processor.tokens_per_clip
        return ",\n".join([clip] * int(video_inputs["num_clips"][video_idx]))

    processor.replace_video_token = replace_video_token


def without_positions(model: Any, processor: Any) -> None:
    """Video-LLaMA's frames as a set: their positions are nothing, and stay nothing."""
    positions = model.model.video_qformer.position_embedding.weight
    torch.nn.init.zeros_(positions)
    positions.requires_grad_(False)


# World clips last two to three seconds: Apollo's one-second clips are two or three.
_SPACE, _TIME, _BOTH = [8, 2, 2], [2, 4, 4], [2, 2, 2]
_ROOM = {"context_length": 84}  # of which 16 are left for the answer, and about 36 are the prompt's own words
CONTENDERS = {
    "pllava": Contender("pllava", "PLLaVA", {"pooling_shape": _SPACE}, {"pooling_shape": _SPACE}),
    "pllava-time-pooled": Contender(
        "pllava", "PLLaVA, time pooled", {"pooling_shape": _TIME}, {"pooling_shape": _TIME}, of="pllava"
    ),
    "pllava-both-pooled": Contender(
        "pllava", "PLLaVA, time pooled too", {"pooling_shape": _BOTH}, {"pooling_shape": _BOTH}, of="pllava"
    ),
    "apollo": Contender(
        "apollo", "Apollo", {"resampler_config.num_latents": 11}, {}, {"tokens_per_clip": 11, "context_length": 2048}
    ),
    "apollo-undated": Contender(
        "apollo",
        "Apollo, clips without times",
        {"resampler_config.num_latents": 11},
        {},
        {"tokens_per_clip": 11, "context_length": 2048},
        without_dates,
        of="apollo",
    ),
    "longvu": Contender("longvu", "LongVU", _ROOM, _ROOM, {"fps": 4.0}),
    "video_llama": Contender(
        "video_llama", "Video-LLaMA", {"num_video_query_tokens": TOKENS}, {"num_video_query_tokens": TOKENS}
    ),
    "video_llama-no-positions": Contender(
        "video_llama",
        "Video-LLaMA, frames without positions",
        {"num_video_query_tokens": TOKENS},
        {"num_video_query_tokens": TOKENS},
        {},
        without_positions,
        of="video_llama",
    ),
    "videotgb": Contender(
        "videotgb", "VideoTGB", {"num_query_tokens": TOKENS}, {"num_query_tokens": TOKENS}, {"fps": 8.0}
    ),
}
# Stages of a model's own training, among which its steps are shared; RAFT's take two shares.
STAGES = {"videotgb": 5}


def build(contender: Contender, seed: int, scenes: Sequence[Any]) -> tuple[Any, Any]:
    """An untrained contender and its processor. A variant has the weights of what it is a variant of."""
    from ..training import tiny

    torch.manual_seed(seed)
    builder, tokenizer = tiny.BUILDERS[contender.builder], tiny.build_tokenizer(contender.builder)
    processor = builder.build_processor(tokenizer, *tiny.pixel_statistics(scenes))
    plain = builder.build_model(tokenizer)
    config = type(plain.config).from_dict(plain.config.to_dict())
    for part, changes in ((config, contender.config), (processor, contender.processor)):
        for name, value in changes.items():
            *path, last = name.split(".")
            for step in path:
                part = getattr(part, step)
            setattr(part, last, value)
    for name, value in contender.video_processor.items():
        setattr(processor.video_processor, name, value)
    model = type(plain)(config)
    model.generation_config = plain.generation_config
    wanted = model.state_dict()
    same = {name: value for name, value in plain.state_dict().items() if value.shape == wanted[name].shape}
    model.load_state_dict(same, strict=False)
    if contender.without:
        contender.without(model, processor)
    return model, processor


def train(name: str, budget: Budget, folder: Path) -> float:
    """Trains a contender and saves it; answers with the seconds that took.

    Raises:
        BudgetError: what training needs is not installed.
    """
    try:
        from ..training import tiny
    except ImportError as error:
        raise BudgetError(f'Training needs more packages: pip install "video-lmms[train]" ({error}).') from error
    from ..data.world import draw_samples, write_rows

    contender = CONTENDERS[name]
    samples = draw_samples(budget.seed, budget.clips, KINDS, turns=budget.turns)
    clips = folder.parent.parent / "clips/train"
    rows = write_rows(samples, clips)
    model, processor = build(contender, budget.seed, [sample.scene for sample in samples[:500]])
    recipe = tiny.Recipe(
        seed=budget.seed,
        steps=max(1, budget.steps // STAGES.get(contender.builder, 1)),
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
    )
    torch.manual_seed(budget.seed)
    start = time.perf_counter()
    if contender.builder in tiny.TRAINERS:
        tiny.TRAINERS[contender.builder](model, processor, rows, recipe)
    else:
        vary = keep_to_budget if contender.builder == "longvu" else dict
        tiny.train(model, processor, rows, recipe, vary=vary)
    seconds = time.perf_counter() - start
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return seconds


def keep_to_budget(batch: dict[str, Any]) -> dict[str, Any]:
    """LongVU's clips have room for the tokens that everyone has, in training too."""
    return {**batch, "context_budgets": batch["num_text_tokens"] + TOKENS}


def answer(name: str, model: Path, output: Path, budget: Budget) -> None:
    """Runs a trained contender on held-out clips of the world; in a process of its own, whose memory is measured."""
    from ..cli.answering import Answerer
    from .model_predictor import ModelPredictor
    from .runner import answer_questions, versions
    from .tasks import world

    task, info = world.TASKS[0], {"model": name, "seed": budget.seed, "device": "cpu"}
    samples = list(world.read(output.parent.parent / "clips/world", KINDS, budget.held_out))
    world.draw(samples)
    answerer = Answerer(str(model), "cpu", None, False)
    if CONTENDERS[name].without:
        CONTENDERS[name].without(answerer.model, answerer.processor)
    predictor = ModelPredictor(answerer, "plain")
    info |= {"tasks": {task.name: task.version}, "arguments": predictor.describe(), "versions": versions()}
    answer_questions(output, predictor, [(task, sample) for sample in samples], info)


def answer_apart(name: str, folder: Path, budget: Budget) -> int:
    """[`answer`] in a new process; answers with its peak memory in bytes.

    Raises:
        BudgetError: the process failed.
    """
    command = [sys.executable, "-m", "video_lmms.evaluation.side_by_side", name, str(folder)]
    run = subprocess.run([*command, json.dumps(asdict(budget))], capture_output=True, text=True, check=False)
    if run.returncode:
        raise BudgetError(f"{name} could not answer: {run.stderr.strip().splitlines()[-1:] or run.returncode}")
    return int(run.stdout.splitlines()[-1])


def run_contender(name: str, folder: Path, budget: Budget) -> dict[str, Any]:
    """Trains, answers and scores, each unless it is done; answers with a row of the table."""
    model, output, facts = folder / "models" / name, folder / "runs" / name, folder / "runs" / name / "cost.json"
    known = read_object(facts)
    if "training_seconds" not in known:
        known = {"training_seconds": train(name, budget, model)}
        write_object(facts, known)
    if "peak_bytes" not in known:
        known["peak_bytes"] = answer_apart(name, folder, budget)
        write_object(facts, known)
    entry = score_run(output)["tasks"]["world"]
    records = read_samples(output)
    seconds = [sum(record["timing"].values()) for record in records]
    return known | {
        "label": CONTENDERS[name].label,
        "accuracy": {kind: part["value"] for kind, part in entry["subsets"].items()},
        "all": {"value": entry["value"], "error": entry["error"]},
        "tokens": sum(record["num_video_tokens"] for record in records) / len(records),
        "seconds": sorted(seconds)[len(seconds) // 2],
    }


def claims(folder: Path, rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each variant against what it is a variant of, on the same questions."""
    found = []
    for name, contender in CONTENDERS.items():
        if contender.of in rows and name in rows:
            difference = compare_runs(folder / "runs" / contender.of, folder / "runs" / name)["world"]
            whole = difference.estimate
            found.append(
                {
                    "claim": f"{CONTENDERS[contender.of].label} against {contender.label}",
                    "with": rows[contender.of]["all"]["value"],
                    "without": rows[name]["all"]["value"],
                    "difference": whole.value,
                    "error": whole.error,
                    "p": difference.p_value,
                    "by_type": {
                        kind: value - rows[name]["accuracy"][kind]
                        for kind, value in rows[contender.of]["accuracy"].items()
                    },
                }
            )
    return found


def selections(clips: int) -> list[dict[str, Any]]:
    """What a choice of frames is worth, on models that ship: same model, same tokens, frames chosen or not."""
    from ..cli.answering import Answerer
    from ..training import tiny, tiny_videotgb
    from .needle import compare

    needles = compare(Answerer("tiny-longvu", "cpu", None, False), clips)
    chooser = Answerer("tiny-videotgb", "cpu", None, False)
    with tempfile.TemporaryDirectory() as scratch:
        rows = tiny.held_out_rows(("episode_colour",), tiny.Recipe(seed=5, held_out=clips), Path(scratch))
        episodes = tiny_videotgb.compare_selection(chooser.model, chooser.processor, rows)
    pairs = (
        ("LongVU's reduction against even frames at equal tokens (needles)", *needles.values()),
        ("VideoTGB's chosen frames against even ones (episodes)", *episodes.values()),
    )
    return [
        {
            "claim": claim,
            "with": 100 * chosen["right"],
            "without": 100 * even["right"],
            "difference": 100 * (chosen["right"] - even["right"]),
            "clips": clips,
        }
        for claim, chosen, even in pairs
    ]


def compare_models(
    folder: Path,
    budget: Budget,
    names: Sequence[str] = tuple(CONTENDERS),
    selection_clips: int = 100,
    advance: Callable[[int], None] = lambda steps: None,
) -> dict[str, Any]:
    """Everything in one table; what is done already is not done again.

    Args:
        folder: to write clips, models, runs, `comparison.json` and `comparison.md` into.
        budget: what every contender gets.
        names: of contenders.
        selection_clips: long clips for the choices of frames; 0 for none.
        advance: called with 1 after each contender.

    Raises:
        BudgetError: the folder holds a comparison under another budget, or no such contender.
    """
    if unknown := [name for name in names if name not in CONTENDERS]:
        raise BudgetError(f"There is no contender {unknown[0]!r}. Contenders: {', '.join(CONTENDERS)}.")
    known = read_object(folder / "budget.json")
    if known and known != asdict(budget):
        raise BudgetError(
            f"{folder} holds a comparison under another budget: {json.dumps(known)}. Choose another folder."
        )
    write_object(folder / "budget.json", asdict(budget))
    rows = {}
    for name in names:
        rows[name] = run_contender(name, folder, budget)
        advance(1)
    found = {"budget": asdict(budget), "models": rows, "claims": claims(folder, rows)}
    if selection_clips:
        found["claims"] += selections(selection_clips)
    write_object(folder / "comparison.json", found)
    write_text(folder / "comparison.md", table(found))
    return found


def table(found: dict[str, Any]) -> str:
    """The comparison in Markdown."""
    budget = found["budget"]
    lines = [
        f"{budget['clips']} clips, {budget['turns']} questions each, {budget['steps']} steps of "
        f"{budget['batch_size']} clips, about {TOKENS} visual tokens; {budget['held_out']} held-out clips per type.",
        "",
        f"| model | {' | '.join(KINDS)} | all | tokens | seconds a question | peak memory | training |",
        f"| --- |{' --- |' * (len(KINDS) + 5)}",
    ]
    for row in found["models"].values():
        cells = [f"{row['accuracy'][kind]:.0f}" for kind in KINDS]
        cells += [f"{row['all']['value']:.1f} ± {row['all']['error']:.1f}", f"{row['tokens']:.0f}"]
        cells += [f"{row['seconds']:.2f}", f"{row['peak_bytes'] / 2**20:.0f} MiB", f"{row['training_seconds']:.0f} s"]
        lines.append(f"| {row['label']} | {' | '.join(cells)} |")
    lines += ["", "| claim | with | without | difference | p | by type |", "| --- | --- | --- | --- | --- | --- |"]
    for row in found["claims"]:
        error = f" ± {row['error']:.1f}" if row.get("error") is not None else ""
        chance = chance_text(row["p"]) if "p" in row else f"({row['clips']} clips)"
        shares = f"{row['with']:.1f} | {row['without']:.1f} | {row['difference']:+.1f}{error}"
        parts = ", ".join(f"{kind} {value:+.0f}" for kind, value in row.get("by_type", {}).items())
        lines.append(f"| {row['claim']} | {shares} | {chance} | {parts} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    _name, _folder, _budget = sys.argv[1], Path(sys.argv[2]), Budget(**json.loads(sys.argv[3]))
    answer(_name, _folder / "models" / _name, _folder / "runs" / _name, _budget)
    sys.stdout.write(f"{peak_memory()}\n")
