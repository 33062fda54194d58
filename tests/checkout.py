# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Copies of this checkout, and environments in which only what is installed there can be imported.

No network is needed: such an environment borrows the dependencies of the running one, but not its `video_lmms`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).resolve().parents[1]
# Shipped verbatim to the Hub; imported as `video_lmms.modeling` and `video_lmms.processing` only.
FLAT_FOLDERS = ("modeling", "processing")
# What .gitignore names, and the history; of these the last only at the top, where commands write to.
NOT_SOURCE = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
OUTPUTS = ("runs", "outputs")


def copy_checkout(target: Path, *more_ignored: str) -> Path:
    """Copies the sources, without what tools leave behind, to the new folder `target`."""
    anywhere = shutil.ignore_patterns(*NOT_SOURCE, *more_ignored)

    def ignored(folder: str, names: list[str]) -> set[str]:
        return anywhere(folder, names) | ({*OUTPUTS} if Path(folder) == ROOT else set())

    return Path(shutil.copytree(ROOT, target, ignore=ignored))


def run(*command: str | Path, cwd: Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command without a terminal; a failure shows what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=inherited | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if check and result.returncode:
        raise AssertionError(f"{command} exited with {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


@dataclass(frozen=True)
class Environment:
    """A virtual environment in `folder`."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, *source: str | Path) -> None:
        """Installs a wheel, or a checkout after `--editable`; its dependencies are there already."""
        pip = (sys.executable, "-m", "pip", "--python", self.python)
        run(*pip, "install", "--no-deps", "--no-build-isolation", *source, cwd=self.folder)


def borrowing_environment(folder: Path) -> Environment:
    """A new environment with the running one's dependencies.

    Their folder joins the path as a plain entry, so the `.pth` files in it, among them the one of an editable
    install, are not run. What is installed here comes first.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    environment = Environment(folder)
    where = run(environment.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    Path(where.stdout.strip(), "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment
