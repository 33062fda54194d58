# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`lmms_eval_run.py TASKS MODEL...`: runs a task of that folder through lmms-eval; prints scores and answers."""

import json
import sys

from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager


folder, *models = sys.argv[1:]
found = {}
for model in models:
    results = simple_evaluate(
        model="video_lmms",
        model_args=f"pretrained={model},device=cpu",
        tasks=["video_lmms_world"],
        batch_size=1,
        log_samples=True,
        task_manager=TaskManager("ERROR", include_path=folder),
    )
    (samples,) = results["samples"].values()
    score = next(value for name, value in results["results"]["video_lmms_world"].items() if name.startswith("score,"))
    found[model] = {"score": score, "answers": {sample["doc"]["id"]: sample["filtered_resps"] for sample in samples}}
print(json.dumps(found))
