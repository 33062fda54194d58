# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms evaluate`: benchmarks, sample by sample, into a folder that survives interruptions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from .arguments import model_or_tiny
from .console import fail, note, progress, quiet_libraries, user_errors
from .judging import BUDGET, JUDGE, KEY, PRICE, RATE, URL, Judging


# Processes wait for the slowest.
LONGEST_WAIT = timedelta(days=7)


def evaluate(
    tasks: Annotated[list[str] | None, typer.Argument(metavar="TASK...", help="Benchmarks; see --list.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the run. An interrupted one is continued.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, Hub id or shipped name. Default: a tiny model.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Folder or Hub data set of all tasks, or TASK=FOLDER for one. Default: OUTPUT/data."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Samples per task, evenly chosen. Default: all.")] = None,
    prompts: Annotated[str | None, typer.Option(help="Prompt style. Default: that of the model's paper.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer. Default: by kind of task.")
    ] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, help="Frames per video. Default: the model's own.")] = None,
    context_length: Annotated[int | None, typer.Option(min=1, help="Tokens of prompt, video and answer.")] = None,
    missing: Annotated[str, typer.Option(help="What becomes of missing videos: stop or skip.")] = "stop",
    device: Annotated[str | None, typer.Option(help="Where to run. Default: the first accelerator, else CPU.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    seed: Annotated[int, typer.Option(help="Recorded; answers are greedy and do not depend on it.")] = 0,
    judge: Annotated[str, JUDGE] = "rules",
    judge_url: Annotated[str | None, URL] = None,
    judge_key_variable: Annotated[str, KEY] = "OPENAI_API_KEY",
    judge_rate: Annotated[float, RATE] = 0.0,
    judge_price: Annotated[str | None, PRICE] = None,
    judge_budget: Annotated[float | None, BUDGET] = None,
    lmms_eval: Annotated[
        Path | None, typer.Option("--lmms-eval", help="Run nothing: write the tasks there as files of lmms-eval.")
    ] = None,
    list_tasks: Annotated[bool, typer.Option("--list", help="List the tasks and the files they need.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that a model brings.")
    ] = False,
) -> None:
    """Run benchmarks and score them.

    Several processes share the work under `accelerate launch -m video_lmms.cli evaluate ...`.
    """
    if list_tasks:
        return print_tasks()
    if lmms_eval is not None and tasks:
        return write_task_files(tasks, data or [str(lmms_eval / "data")], limit, lmms_eval)
    if not tasks or output is None:
        raise fail("give one task or more and --output FOLDER; --list shows the tasks.")
    if missing not in ("stop", "skip"):
        raise fail(f"--missing is stop or skip, got {missing!r}.")
    judging = Judging(judge, judge_url, judge_key_variable, judge_rate, judge_price, judge_budget, device)
    judging.prices()
    with user_errors():
        from ..evaluation.model_predictor import ModelPredictor
        from ..evaluation.runner import answer_questions, questions_of, versions
        from ..evaluation.tasks import find_task
        from .answering import Answerer

        quiet_libraries()
        process, processes, wait, own_device = shared_work()
        wanted = [find_task(name) for name in dict.fromkeys(tasks)]
        samples = read_all(wanted, data or [str(output / "data")], limit, process, wait)
        questions = questions_of(samples, wanted, missing)
        source = model_or_tiny(model)
        answerer = Answerer(source, device or own_device, dtype, trust_remote_code)
        predictor = ModelPredictor(answerer, prompts, max_new_tokens, num_frames, context_length)
        info = {
            "tasks": {task.name: task.version for task in wanted},
            "model": source,
            "arguments": predictor.describe() | {"limit": limit},
            "seed": seed,
            "device": str(answerer.model.device),
            "versions": versions(),
            "left_out": sum(map(len, samples.values())) - len(questions),
        }
        mine = len(range(process, len(questions), processes))
        with progress("evaluating", mine, "samples") as advance:
            answer_questions(output, predictor, questions, info, process, processes, wait, advance)
        if process:
            return None
        results = judging.score(output)
    typer.echo(json.dumps(results) if as_json else (output / "results.md").read_text(encoding="utf-8"), nl=as_json)
    note(f"Samples, scores and results are in {output}.")
    return None


def write_task_files(names: list[str], data: list[str], limit: int | None, folder: Path) -> None:
    """Tasks in lmms-eval's format, and how to run them."""
    with user_errors():
        from ..evaluation.lmms_eval_tasks import write_task
        from ..evaluation.tasks import find_task

        wanted = [find_task(name) for name in dict.fromkeys(names)]
        samples = read_all(wanted, data, limit, 0, lambda: None)
        written = [write_task(task, samples[task.name], folder).stem for task in wanted]
    command = f"lmms-eval --model video_lmms --tasks {','.join(written)} --include_path {folder}"
    note(f"To run them: {command} --model_args pretrained=MODEL")


def print_tasks() -> None:
    from ..evaluation.prompts import STYLES
    from ..evaluation.tasks import TASKS

    for task in TASKS.values():
        typer.echo(f"{task.name:26}{task.title}\n{'':26}{task.layout}\n{'':26}{task.source}")
    typer.echo(f"\nPrompt styles: {', '.join(style.id for style in STYLES.values())}")


def read_all(tasks: list[Any], data: list[str], limit: int | None, process: int, wait: Callable[[], None]) -> dict:
    """Samples of each task. The first process reads first: reading may download, or draw, what is not there.

    Raises:
        TaskDataError: files are missing or damaged.
    """
    from ..evaluation.runner import data_folder
    from ..evaluation.tasks import TASKS, read_samples

    own = dict(entry.split("=", 1) for entry in data if entry.split("=", 1)[0] in TASKS and "=" in entry)
    shared = [entry for entry in data if entry not in {f"{name}={folder}" for name, folder in own.items()}]
    lacking = [task.name for task in tasks if task.name not in own]
    if len(shared) != 1 and lacking:
        raise fail(f"one --data FOLDER is needed for {', '.join(lacking)}, or --data TASK=FOLDER for each.")
    if process:
        wait()
    samples = {
        task.name: read_samples(task, data_folder(own.get(task.name) or shared[0], task), limit) for task in tasks
    }
    if not process:
        wait()
    return samples


def shared_work() -> tuple[int, int, Callable[[], None], str | None]:
    """Number of this process, how many there are, how to wait for all of them, and the device of this one.

    A launcher says so in the environment; alone, this is the only process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1, lambda: None, None
    from accelerate import PartialState

    state = PartialState(timeout=LONGEST_WAIT)
    return state.process_index, state.num_processes, state.wait_for_everyone, str(state.device)
