# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Our tasks as task files of lmms-eval, for benchmarks that it does not have, or for data on this machine:

video-lmms evaluate msvd_qa --data FOLDER --lmms-eval TASKS
lmms-eval --model video_lmms --tasks video_lmms_msvd_qa --include_path TASKS
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .prompts import STYLES
from .records import write_text
from .tasks import TASKS, Sample, Task


STYLE = STYLES["plain"]
# Longest answers by kind of task.
LENGTHS = {"choice": 16, "word": 4, "grounding": 32, "open": 64, "chat": 200}
UTILITIES = '''"""The functions that the task files beside this one name."""

from video_lmms.evaluation.lmms_eval_tasks import doc_to_messages, doc_to_text, doc_to_visual, process_results
'''


class Function(str):
    """A name that lmms-eval looks up in `utils.py`."""


class Dumper(yaml.SafeDumper):
    """Writes `!function` before such names."""


Dumper.add_representer(Function, lambda dumper, name: dumper.represent_scalar("!function", str(name), style=""))


def write_task(task: Task, samples: Sequence[Sample], folder: Path) -> Path:
    """Writes a task file, its documents, and the functions they share.

    Args:
        task: a benchmark.
        samples: its questions; those without a public answer are left out.
        folder: for `--include_path`.

    Returns:
        the task file.
    """
    rows = [document(task, sample) for sample in samples if sample.expected is not None]
    documents = folder.absolute() / f"{task.name}.jsonl"
    write_text(documents, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_text(folder / "utils.py", UTILITIES)
    content = {
        "task": f"video_lmms_{task.name}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(documents)}},
        "test_split": "test",
        "output_type": "generate_until",
        **{name: Function(f"utils.{name}") for name in ("doc_to_visual", "doc_to_text", "doc_to_messages")},
        "doc_to_target": "expected",
        "process_results": Function("utils.process_results"),
        "generation_kwargs": {"max_new_tokens": LENGTHS[task.kind], "temperature": 0, "do_sample": False},
        "metric_list": [{"metric": "score", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": task.version},
    }
    path = folder / f"video_lmms_{task.name}.yaml"
    write_text(path, yaml.dump(content, Dumper=Dumper, sort_keys=False))
    return path


def document(task: Task, sample: Sample) -> dict[str, Any]:
    """A sample as a row; `expected` is JSON, for a letter, a text or a span."""
    return {
        "id": sample.id,
        "task": task.name,
        "subset": sample.subset,
        "video": str(sample.video.absolute()),
        "start": sample.start,
        "end": sample.end,
        "prompt": STYLE.ask(task, sample, None, {}).text,
        "choices": list(sample.choices),
        "expected": json.dumps(sample.expected),
    }


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    return [doc["video"]]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict | None = None) -> str:
    return doc["prompt"]


def doc_to_messages(doc: dict[str, Any], lmms_eval_specific_kwargs: dict | None = None) -> list[dict[str, Any]]:
    """One turn: the video, or the part in question of it, and the prompt."""
    video = {"type": "video", "url": doc["video"], "start_time": doc["start"], "end_time": doc["end"]}
    return [{"role": "user", "content": [video, {"type": "text", "text": doc["prompt"]}]}]


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """The score of an answer by the rules of the plain style."""
    record = doc | {"expected": json.loads(doc["expected"]), "answer": results[0]}
    return {"score": STYLE.read(TASKS[doc["task"]].kind, record).score}
