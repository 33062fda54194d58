# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs to be killed: `killed_run.py DATA OUTPUT` starts one in a process of its own for every line of its input.

It tells the process's number, "answered" whenever the model has answered, and "ended". A line "finish" runs without
the pauses in which a kill can fall.
"""

import os
import sys
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[1]))

from stub_predictors import INFO, StubPredictor, perfect  # noqa: E402

from video_lmms.evaluation.runner import answer_questions, questions_of  # noqa: E402
from video_lmms.evaluation.tasks import TASKS, read_samples  # noqa: E402


class Talking(StubPredictor):
    def __init__(self, pause: float):
        super().__init__(perfect)
        self.pause = pause

    def answer(self, task, prepared):
        time.sleep(self.pause)
        record = super().answer(task, prepared)
        os.write(1, b"answered\n")
        return record


task = TASKS["mvbench"]
questions = questions_of({"mvbench": read_samples(task, Path(sys.argv[1]))}, [task], "stop")
for line in sys.stdin:
    process = os.fork()
    if process == 0:
        pause = 0.0 if line == "finish\n" else 0.05
        answer_questions(Path(sys.argv[2]), Talking(pause), questions, INFO | {"tasks": {"mvbench": 1}})
        os._exit(0)
    print(process, flush=True)
    os.waitpid(process, 0)
    print("ended", flush=True)
