# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The tests of what wants a Pillow below 13: Gradio's page and trackio, laid over the libraries of all other tests.

That Pillow decodes JPEG files to values that differ by one here and there from those in the recordings of the original
codes, so the two cannot share an environment.
"""

from __future__ import annotations

import re
import sys

import pytest
from checkout import ROOT, run


try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same under another name
    import tomli as tomllib


EXTRAS = ("demo", "trackio")
TESTS = (
    "tests/apps/test_demo.py",
    "tests/apps/test_demo_in_a_browser.py",
    "tests/cli/test_demo.py",
    "tests/training/test_reporters.py",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_and_trackio_with_the_libraries_they_want(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [name for extra in EXTRAS for name in project["optional-dependencies"][extra]]
    library = tmp_path / "library"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--target", library, *wanted, cwd=tmp_path)
    command = (sys.executable, "-m", "pytest", "-q", "--no-header", "-m", "slow or not slow", "-p", "no:cacheprovider")
    tests = run(*command, *TESTS, cwd=ROOT, PYTHONPATH=str(library), OMP_NUM_THREADS="1")
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", tests.stdout.splitlines()[-1])}
    assert counts["passed"] > 65
    assert not {"failed", "errors", "error"} & set(counts)
