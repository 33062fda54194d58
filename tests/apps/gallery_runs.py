# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs for the gallery to show, written as an evaluation writes them, about clips of the synthetic world.

Two runs answer the same twelve questions: A like a model that chooses frames, every third answer wrong; B like one
that sees eight frames, every fourth answer wrong. By hand, `python tests/apps/gallery_runs.py FOLDER` writes both.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from video_lmms.data.scenes import COLOURS, DIRECTIONS, Scene, write_clip
from video_lmms.data.world import draw_samples
from video_lmms.evaluation.records import RESULTS, RUN, SAMPLES, SCORES, JsonLines, write_object


COUNT = 12
WRONG_EVERY = {"A": 3, "B": 4}
KINDS = ("episode_colour", "direction")
TASK, OTHER_TASK = "world", "world_open"
CHOICES = {"episode_colour": list(COLOURS), "direction": list(DIRECTIONS)}


def is_right(name: str, number: int) -> bool:
    """Whether run A or B answers this question correctly."""
    return number % WRONG_EVERY[name] != 0


def write_runs(folder: Path) -> tuple[Path, Path]:
    """Draws the clips and writes both runs, `first` and `second`."""
    samples = draw_samples(3, COUNT, KINDS)
    clips = [write_clip(sample.scene, folder / "clips" / f"{place:02d}.mp4") for place, sample in enumerate(samples)]
    folders = folder / "first", folder / "second"
    for name, target in zip(("A", "B"), folders, strict=True):
        write_run(name, target, samples, clips)
    return folders


def write_run(name: str, folder: Path, samples: list, clips: list[Path]) -> None:
    """One run: half its samples of one task, the others of another, judged by rule and by a rater."""
    tasks = {TASK: "1", OTHER_TASK: "1"}
    model = {"A": "tiny-videotgb", "B": "tiny-pllava"}[name]
    write_object(folder / RUN, {"tasks": tasks, "model": model, "arguments": {}, "seed": 0, "device": "cpu"})
    with JsonLines(folder / SAMPLES) as records, JsonLines(folder / SCORES) as scores:
        for number, (sample, clip) in enumerate(zip(samples, clips, strict=True)):
            record = sample_record(name, number, sample, clip)
            right = is_right(name, number)
            records.append(record)
            about = {"task": record["task"], "id": record["id"], "subset": record["subset"]}
            scores.append(about | {"judge": "rules", "score": float(right), "correct": right, "reason": ""})
            if record["task"] == OTHER_TASK:
                # The rater is lenient: it lets the wrong answer to number 8 pass.
                mild = right or number == 8
                rating = {"judge": "rater", "score": 4.5 if mild else 1.0, "correct": mild}
                scores.append(about | rating | {"aspect": "accuracy", "reason": f"It says {record['answer']}."})
    half = COUNT // 2
    right = [is_right(name, number) for number in range(COUNT)]
    values = {TASK: np.mean(right[:half]), OTHER_TASK: np.mean(right[half:])}
    tasks = {
        task: {"metric": "accuracy", "value": float(value), "error": 0.19, "n": half, "subsets": {}}
        for task, value in values.items()
    }
    write_object(folder / RESULTS, {"judge": "rules", "tasks": tasks})


def sample_record(name: str, number: int, sample: object, clip: Path) -> dict:
    """What a run says of one sample; number 1 asks about a part of its clip."""
    question, scene = sample.questions[0], sample.scene
    choices = CHOICES[question.kind]
    wrong = next(choice for choice in choices if choice != question.answer)
    step = 2 if name == "A" else max(1, scene.num_frames // 8)
    frames = list(range(0, scene.num_frames, step))
    part = {"start": 0.5, "end": 1.5} if number == 1 else {}
    record = {
        "task": TASK if number < COUNT // 2 else OTHER_TASK,
        "id": f"{number:02d}",
        "subset": question.kind,
        "question": question.text,
        "choices": choices,
        "prompt": f"USER: <video>\n{question.text}\nASSISTANT:",
        "answer": question.answer if is_right(name, number) else wrong,
        "expected": question.answer,
        "media": [{"type": "video", "path": str(clip), **part}],
        "frames": [frames],
        "times": [[frame / scene.fps for frame in frames]],
        "num_video_tokens": 32 * len(frames),
        "timing": {"prepare_s": 0.031, "generate_s": 0.25 + number / 100},
        "versions": {"task": "1", "prompt": "plain-1"},
    }
    return record | ({"chosen": [choice_of(scene, frames)]} if name == "A" else {})


def choice_of(scene: Scene, frames: list[int]) -> dict:
    """Four neighbouring frames in the middle, as VideoTGB tells of its choice."""
    chosen = frames[len(frames) // 2 - 1 : len(frames) // 2 + 3]
    times = [frame / scene.fps for frame in chosen]
    return {
        "chosen_frames": chosen,
        "chosen_times": times,
        "spans": [[times[0], times[-1]]],
        "span_scores": [[0.98, 0.91]],
        "grounded": True,
    }


if __name__ == "__main__":
    write_runs(Path(sys.argv[1]))
