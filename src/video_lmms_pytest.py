# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Lets `pytest --goldens DIR` run in a checkout of this project when DIR lies outside of it.

pytest looks for a project's settings above the paths on its command line, and takes the value of an option that it
does not know yet for such a path. Only an installed plugin is asked before it gives up; anywhere else, and without
that option, this one does nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


AGAIN = "VIDEO_LMMS_PYTEST_AGAIN"


def pytest_addoption(pluginmanager: Any) -> None:
    """Starts over with the settings of the checkout in the current folder."""
    config = pluginmanager.get_plugin("pytestconfig")
    settings = Path.cwd() / "pyproject.toml"
    arguments = [str(argument) for argument in config.invocation_params.args]
    misled = "--goldens" in arguments and config.inipath != settings and AGAIN not in os.environ
    if misled and (Path.cwd() / "tests" / "goldens_option.py").is_file():
        command = [sys.executable, "-m", "pytest", "--config-file", str(settings), *arguments]
        sys.exit(subprocess.call(command, env=os.environ | {AGAIN: "1"}))
