# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Toy against its original: step 8 of the checklist, where it becomes `tests/parity/test_parity_toy.py`."""

from parity.cases import compare, covered
from transformers import AutoModelForImageTextToText

import video_lmms  # noqa: F401 (registers the classes)


MODEL = "toy"


def test_run_matches_the_original(case_run, converted):
    case, run = case_run
    model = AutoModelForImageTextToText.from_pretrained(converted(case, run)).eval()
    outputs = model(**case.inputs(run))
    for role, name in run["expected"].items():
        compare(case, name, outputs[role])


def test_every_expected_tensor_is_compared(case):
    assert set(case.tensors("expected")) == covered(case)
