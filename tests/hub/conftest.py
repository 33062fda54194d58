# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder share: a tiny bundle, a clip, a Hub, a process to use it, converted originals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import clips
import pytest
from hub.local_hub import LocalHub
from hub.originals import ORIGINALS, words
from tiny_pllava import tiny_model, tiny_processor

from video_lmms.hub import bundle, record_check


@pytest.fixture(scope="session")
def model():
    return tiny_model()


@pytest.fixture(scope="session")
def processor():
    return tiny_processor()


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """An mp4 of three seconds."""
    return clips.make("h264.mp4", tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def bundle_folder_once(model, processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    bundle(model, processor, folder, provenance={"license": "apache-2.0", "base_model": "example/original"})
    record_check(model, processor, folder)
    return folder


@pytest.fixture
def bundled(bundle_folder_once, tmp_path) -> Path:
    """A bundle that the test may damage."""
    return Path(shutil.copytree(bundle_folder_once, tmp_path / "bundled"))


@pytest.fixture
def edit_weights(bundled) -> Callable:
    """Applies a function to the bundle's tensors (name -> tensor), in place."""
    from safetensors.torch import load_file, save_file

    def edit(change: Callable[[dict], None]) -> None:
        tensors = load_file(bundled / "model.safetensors")
        change(tensors)
        save_file(tensors, bundled / "model.safetensors", metadata={"format": "pt"})

    return edit


class Worker:
    """A process that runs commands of `video-lmms` in children; see `worker.py`."""

    def __init__(self, folder: Path, **variables: str):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HF_"))}
        self.log = (folder / "worker.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            cwd=folder,
            env=inherited | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def __call__(self, *words: object, kill_after: float | None = None, code: str | None = None) -> dict:
        request = {"words": [str(word) for word in words], "kill_after": kill_after, "code": code}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()


@pytest.fixture(scope="session")
def hub() -> Iterator[LocalHub]:
    with LocalHub() as server:
        yield server


@pytest.fixture(scope="session")
def worker(hub, tmp_path_factory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    worker = Worker(folder, **hub.environment(folder / "home"))
    yield worker
    worker.close()


@pytest.fixture(scope="session")
def converted(worker, tmp_path_factory) -> dict[str, Path]:
    """One converted folder per model, each with its stored answer."""
    root = tmp_path_factory.mktemp("converted")
    for model in ORIGINALS:
        result = worker(*words(model, root / model), "--store-answer")
        assert result["code"] == 0, result["err"]
    return {model: root / model for model in ORIGINALS}
