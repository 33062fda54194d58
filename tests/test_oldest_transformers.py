# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The models and processors on the oldest transformers that `pyproject.toml` allows, with its own common tests."""

from __future__ import annotations

import re
import sys

import pytest
from checkout import ROOT, run
from hub.test_remote_code import OLDEST, install_oldest_transformers


FOLDERS = ("tests/modeling", "tests/processing", "tests/parity", "tests/common")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_everything_holds_on_the_oldest_transformers(tmp_path):
    library = {"PYTHONPATH": str(install_oldest_transformers(tmp_path / "library"))}
    show = "import transformers; print(transformers.__version__)"
    assert run(sys.executable, "-c", show, cwd=tmp_path, **library).stdout.strip() == OLDEST
    tests = run(
        sys.executable, *("-m", "pytest", "-q", "--no-header"), *FOLDERS, cwd=ROOT, **library, OMP_NUM_THREADS="1"
    )
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", tests.stdout.splitlines()[-1])}
    assert counts["passed"] > 500
    assert "failed" not in counts
