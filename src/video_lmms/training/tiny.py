# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Trains a tiny model on the synthetic world, from nothing, on a CPU:

    python -m video_lmms.training.tiny pllava --output hub_configs/tiny-pllava

The command draws clips as real video files, reads them through the model's own processor, trains all weights with
TRL, saves in bfloat16, loads what it saved as a user would, asks about clips it never saw, and writes the numbers
into the model card. Its numbers are arguments; the defaults are what the shipped model was made with.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin, set_seed
from trl import SFTConfig

from video_lmms.data.collator import IGNORED, VideoChatCollator
from video_lmms.data.questions import vocabulary
from video_lmms.data.scenes import Scene, render_frame, write_clip
from video_lmms.data.world import Sample, draw_long_samples, draw_samples, write_rows
from video_lmms.hub.checks import record_check
from video_lmms.hub.folders import staged, write_json
from video_lmms.hub.loading import load
from video_lmms.training import tiny_apollo, tiny_longvu, tiny_pllava, tiny_video_llama, tiny_videotgb
from video_lmms.training.trainer import VideoSFTTrainer


# model -> module that says what is the model's own:
#     SPECIAL_TOKENS   padding, end and unknown word first, then placeholders and marks of the prompt
#     WORDS            of the prompt, beyond those of the world's questions and answers
#     KINDS            types of questions it learns
#     RECIPE           what differs from the defaults of `Recipe`
#     EXAMPLE          the scene of the clip that ships with it
#     build_processor(tokenizer, mean, std), build_model(tokenizer)
BUILDERS = {
    "apollo": tiny_apollo,
    "longvu": tiny_longvu,
    "pllava": tiny_pllava,
    "video_llama": tiny_video_llama,
    "videotgb": tiny_videotgb,
}
# Models that are not trained in one go: model -> function with the arguments and the answer of [`train`].
TRAINERS = {"videotgb": tiny_videotgb.train}
# What else is measured on the held-out clips: model -> function of (model, processor, rows), which answers with shares
# by group and name; and the words that tell of them in the card.
COMPARISONS = {"videotgb": (tiny_videotgb.compare_selection, tiny_videotgb.CARD)}
# Models that are taught in several lessons, of equally many steps: model -> function of the training rows.
LESSONS = {"video_llama": tiny_video_llama.lessons}
# What is changed at random in every batch; for most models nothing is.
Variation = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
VARIATIONS: dict[str, Variation] = {"longvu": tiny_longvu.vary_budget}
# Clips with a needle, where the model learns to find it: how many per other clip, and how many seconds they last. How
# long those for evaluation last.
LONG_CLIPS = {"longvu": tiny_longvu.LONG_CLIPS}
LONG_SECONDS = (60.0, 300.0)

EVALUATION_BATCH = 25


@dataclass
class Recipe:
    """What the training is made of; every field is an option of the command. A model may have defaults of its own.

    Attributes:
        seed: of weights, clips and their order.
        clips: training clips.
        turns: questions per clip; several teach more about one clip than one.
        steps: optimiser steps.
        batch_size: clips per step.
        learning_rate: at its highest; cosine to zero.
        held_out: clips per question type for evaluation.
    """

    seed: int = 0
    clips: int = 8000
    turns: int = 3
    steps: int = 2400
    batch_size: int = 32
    learning_rate: float = 1e-3
    held_out: int = 200


def default_recipe(name: str) -> Recipe:
    """What the shipped model was made with."""
    return Recipe(**BUILDERS[name].RECIPE)


def build_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """One token per word of the world, in lower case, and per digit; unknown words are `<unk>`."""
    builder = BUILDERS[name]
    pad, end, unknown, *others = builder.SPECIAL_TOKENS
    words = dict.fromkeys([*builder.SPECIAL_TOKENS, *builder.WORDS, *vocabulary()])
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=unknown))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\d|[^\W\d]+|[^\w\s]"), behavior="removed", invert=True)
    backend.decoder = decoders.WordPiece(prefix="")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad,
        eos_token=end,
        unk_token=unknown,
        additional_special_tokens=others,
        padding_side="left",
    )


def pixel_statistics(scenes: Sequence[Scene]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of the scenes' middle frames, in [0, 1]."""
    frames = np.stack([render_frame(scene, scene.num_frames // 2) for scene in scenes]) / 255
    return frames.mean((0, 1, 2)).round(4).tolist(), frames.std((0, 1, 2)).round(4).tolist()


class CachingCollator:
    """[`VideoChatCollator`] that decodes each clip once and keeps its pixels (half precision) for later epochs."""

    def __init__(self, processor: ProcessorMixin, vary: Variation = dict):
        self.collate = VideoChatCollator(processor)
        self.vary = vary
        self.pad_id = processor.tokenizer.pad_token_id
        self.known: dict[int, dict[str, torch.Tensor]] = {}

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """One right-padded batch of rows that carry a `number`."""
        samples = [self.encode(row) for row in rows]
        fills = {"input_ids": self.pad_id, "attention_mask": 0, "labels": IGNORED}
        names = dict.fromkeys(name for sample in samples for name in sample)  # not every clip has a sound
        batch = {
            name: join([sample[name] for sample in samples if name in sample], fills.get(name, 0)) for name in names
        }
        return self.vary(batch)

    def encode(self, row: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        if row["number"] not in self.known:
            encoded = self.collate([row])
            self.known[row["number"]] = {
                name: value.half() if value.is_floating_point() else value for name, value in encoded.items()
            }
        return self.known[row["number"]]


def join(parts: Sequence[torch.Tensor], fill: int) -> torch.Tensor:
    """Concatenates along the first dimension (samples, media, or clips); the second is padded with `fill` at its end.

    Half precision becomes float32.
    """
    if parts[0].dim() == 1:
        return torch.cat(list(parts))
    rows = [row for part in parts for row in part]
    batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)
    return batch.float() if batch.is_floating_point() else batch


def train(
    model: PreTrainedModel, processor: ProcessorMixin, rows: list[dict], recipe: Recipe, vary: Variation = dict
) -> list[float]:
    """Trains all weights in place; answers with the logged losses."""
    data = Dataset.from_list([{"number": n, "messages": row["messages"]} for n, row in enumerate(rows)])
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            max_steps=recipe.steps,
            per_device_train_batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=min(40, recipe.steps // 10),
            adam_beta2=0.99,
            weight_decay=0.0,
            seed=recipe.seed,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            logging_steps=max(1, recipe.steps // 40),
            save_strategy="no",
            report_to="none",
            max_length=None,
            remove_unused_columns=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        trainer = VideoSFTTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            processing_class=processor,
            data_collator=CachingCollator(processor, vary),
        )
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def evaluate(model: PreTrainedModel, processor: ProcessorMixin, rows: Sequence[dict]) -> dict[str, float]:
    """Share of right answers to the first question of each row, by question type. Greedy, one word."""
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, len(rows), EVALUATION_BATCH):
        batch = rows[start : start + EVALUATION_BATCH]
        inputs = processor.apply_chat_template(
            [row["messages"][:1] for row in batch],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        ).to(model.dtype)
        new = model.generate(**inputs, max_new_tokens=4, do_sample=False)[:, inputs["input_ids"].shape[1] :]
        for row, answer in zip(batch, processor.batch_decode(new, skip_special_tokens=True), strict=True):
            right[row["kind"]].append(answer.strip() == row["answer"])
    return {kind: sum(hits) / len(hits) for kind, hits in sorted(right.items())}


def training_samples(name: str, recipe: Recipe) -> list[Sample]:
    """Clips with several questions each, then those with a needle and one question."""
    short = [kind for kind in BUILDERS[name].KINDS if kind != "needle"]
    samples = draw_samples(recipe.seed, recipe.clips, short, turns=recipe.turns)
    for number, (share, seconds) in enumerate(LONG_CLIPS.get(name, ())):
        samples += draw_long_samples(recipe.seed + number, round(share * recipe.clips), seconds=seconds)
    return samples


def held_out_rows(kinds: Sequence[str], recipe: Recipe, folder: Path, split: str = "held_out") -> list[dict]:
    """Fresh clips, equally many of each question type."""
    rows = []
    for number, kind in enumerate(kinds):
        seed, count = recipe.seed + 1000 + number, recipe.held_out
        if kind == "needle":
            samples = draw_long_samples(seed, count, split, LONG_SECONDS)
        else:
            samples = draw_samples(seed, count, (kind,), split)
        rows += write_rows(samples, folder / split / kind)
    return rows


def folder_of(name: str) -> str:
    """Name of the folder that ships."""
    return f"tiny-{name}".replace("_", "-")


def model_card(name: str, recipe: Recipe, accuracy: Mapping[str, Mapping[str, float]], facts: Mapping) -> str:
    """The card, with the accuracy this run measured."""
    new = accuracy["never_seen"]
    table = "\n".join(f"| {kind} | {value:.1%} | {new[kind]:.1%} |" for kind, value in accuracy["held_out"].items())
    minutes = round(facts["training_seconds"] / 60)
    comparison = "".join(
        f"- {group}: " + ", ".join(f"{value:.1%} {what}" for what, value in shares.items()) + "\n"
        for group, shares in facts["comparison"].items()
    )
    if comparison:
        comparison = f"\n{COMPARISONS[name][1]}\n\n{comparison}\n"
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: video-text-to-text
tags: [video, tiny]
---
# {folder_of(name)}

{name} at {facts["parameters"]:,} parameters, trained from nothing on rendered clips of moving coloured shapes. It
answers questions about such clips in one word and knows nothing else: it is there to try the software, not the idea.

| question | held-out clips | combinations never trained on |
| --- | --- | --- |
{table}

{recipe.held_out} clips per question and column, greedy answers, weights in bfloat16 as shipped. Trained with
{recipe.steps} steps of {recipe.batch_size} clips, {recipe.turns} questions each, in {minutes} minutes on a CPU.
{comparison}Made, measured and written by one command:

```bash
python -m video_lmms.training.tiny {name} --output DIR
```
"""


def make(name: str, output: Path, recipe: Recipe) -> dict[str, dict[str, float]]:
    """Draws, trains, saves, measures; answers with the accuracy per split and question type, and further shares.

    Args:
        name: one of `BUILDERS`.
        output: folder to write; an earlier one is replaced when all is done.
        recipe: the numbers.
    """
    set_seed(recipe.seed)
    builder, kinds, tokenizer = BUILDERS[name], BUILDERS[name].KINDS, build_tokenizer(name)
    with tempfile.TemporaryDirectory() as clips, staged(output, overwrite=True) as stage:
        started = time.perf_counter()
        samples = training_samples(name, recipe)
        rows = write_rows(samples, Path(clips) / "train")
        sys.stderr.write(f"{len(rows)} clips drawn in {time.perf_counter() - started:.0f} s\n")
        processor = builder.build_processor(tokenizer, *pixel_statistics([s.scene for s in samples[:500]]))
        model = builder.build_model(tokenizer)
        started = time.perf_counter()
        train_model = TRAINERS.get(name, partial(train, vary=VARIATIONS.get(name, dict)))
        lessons = LESSONS[name](rows) if name in LESSONS else [rows]
        part = replace(recipe, steps=recipe.steps // len(lessons))
        losses = [loss for lesson in lessons for loss in train_model(model, processor, lesson, part)]
        seconds = time.perf_counter() - started
        model.to(torch.bfloat16).save_pretrained(stage)
        processor.save_pretrained(stage)
        write_clip(builder.EXAMPLE, stage / "example.mp4")
        saved, processor = load(stage)
        fresh = {split: held_out_rows(kinds, recipe, Path(clips), split) for split in ("held_out", "never_seen")}
        accuracy = {split: evaluate(saved, processor, rows) for split, rows in fresh.items()}
        compare, _ = COMPARISONS.get(name, (None, None))
        comparison = compare(saved, processor, fresh["held_out"]) if compare else {}
        facts = {
            "command": f"python -m video_lmms.training.tiny {name} --output DIR",
            "recipe": {field.name: getattr(recipe, field.name) for field in fields(recipe)},
            "parameters": sum(parameter.numel() for parameter in saved.parameters()),
            "training_seconds": round(seconds),
            "losses": {"first": losses[0], "last": losses[-1]},
            "accuracy": accuracy,
            "comparison": comparison,
            "versions": {module.__name__: module.__version__ for module in (torch, transformers, trl)},
        }
        write_json(stage / "provenance.json", facts)
        (stage / "README.md").write_text(model_card(name, recipe, accuracy, facts), encoding="utf-8")
        record_check(saved, processor, stage)
    return accuracy | comparison


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; prints the accuracy."""
    parser = argparse.ArgumentParser(prog="python -m video_lmms.training.tiny", description=__doc__.split("\n")[0])
    parser.add_argument("model", choices=sorted(BUILDERS))
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    for field in fields(Recipe):
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=type(field.default), help="default: what the shipped model was made with")
    options = vars(parser.parse_args(argv))
    name, output = options.pop("model"), options.pop("output")
    given = {option: value for option, value in options.items() if value is not None}
    accuracy = make(name, output, replace(default_recipe(name), **given))
    for split, by_kind in accuracy.items():
        for kind, value in by_kind.items():
            sys.stdout.write(f"{split} {kind}: {value:.1%}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
