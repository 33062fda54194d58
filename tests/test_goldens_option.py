# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Parity tests run over any folder of cases, wherever it lies."""

from __future__ import annotations

import shutil
import sys

from checkout import ROOT, run


CASES = ROOT / "tests/goldens/pllava"


def test_folders_outside_of_the_checkout_take_the_place_of_the_default(tmp_path):
    """Collected only; `-k` and `--goldens` are given as CONTRIBUTING.md gives them."""
    for folder, case in (("some", "published_sharded"), ("more/deeper", "lora_delta_gqa")):
        target = tmp_path / folder / f"copy_of_{case}"
        target.mkdir(parents=True)
        shutil.copyfile(CASES / case / "case.json", target / "case.json")
    options = ("-k", "parity and pllava", "--goldens", tmp_path / "some", "--goldens", tmp_path / "more")
    shown = run(sys.executable, "-m", "pytest", *options, "--collect-only", "-q", cwd=ROOT).stdout
    for case in ("published_sharded", "lora_delta_gqa"):
        assert f"tests/parity/test_parity_pllava.py::test_frame_indices_are_exact[copy_of_{case}]" in shown
    assert "[batch_left_pad" not in shown
