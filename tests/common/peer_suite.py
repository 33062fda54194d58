# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' own common tests, fetched at test time and made importable as the package `peer_suite_package`.

They are the measure of a first-class model, but no wheel ships them and this repository does not copy them. The source
distribution of the installed transformers version does ship the model, processor, video-processor and configuration
testers; `pip` brings it from whatever index it is configured for, once per version, into pytest's cache. The few
modules that are missing there are stood in for by `peer_stubs/`.
"""

import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from types import ModuleType

import torch
import transformers
from absence import lacking
from filelock import FileLock


PACKAGE = "peer_suite_package"
STUBS = Path(__file__).parent / "peer_stubs"
# Marks that the fetched files use; `conftest.py` registers them, so that `--strict-markers` stays on for our own.
MARKS = ("accelerate_tests", "flash_attn_3_test", "flash_attn_4_test", "flash_attn_test", "torch_compile_test")


class PeerSuiteUnavailable(Exception):
    """The source distribution cannot be fetched; the message carries pip's own last words."""


def fetch_tests(folder: Path) -> Path:
    """The `tests` folder of the installed transformers' source distribution, extracted below `folder` once."""
    target = folder / f"transformers-{transformers.__version__}"
    with FileLock(folder / "fetch.lock"):  # parallel test workers share one download
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                extract_tests(download(Path(scratch)), Path(scratch) / "tests").rename(target)
    return target


def download(folder: Path) -> Path:
    """Lets pip bring the archive, from the index and through the proxy the user has configured."""
    requirement = f"transformers=={transformers.__version__}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "transformers", requirement]
    run = subprocess.run([*command, "--dest", str(folder)], capture_output=True, text=True)
    archives = list(folder.glob("transformers-*.tar.gz"))
    if run.returncode or not archives:
        words = run.stderr.strip().splitlines() or ["no archive arrived"]
        raise PeerSuiteUnavailable(f"pip could not download the source of {requirement}: {words[-1]}")
    return archives[0]


def extract_tests(archive: Path, folder: Path) -> Path:
    """Writes the files right under `tests/` of the archive into `folder`, and an `__init__.py`, which it lacks."""
    folder.mkdir()
    with tarfile.open(archive) as content:
        for member in content:
            parts = Path(member.name).parts
            if member.isfile() and len(parts) == 3 and parts[1] == "tests":
                (folder / parts[2]).write_bytes(content.extractfile(member).read())
    (folder / "__init__.py").touch()
    return folder


def peer_module(name: str) -> ModuleType:
    """A module of the fetched tests, such as `test_modeling_common`; skips the calling test file without it."""
    if PACKAGE not in sys.modules:
        try:
            install(fetch_tests(cache_folder()))
        except PeerSuiteUnavailable as error:
            lacking(f"transformers' own tests are not available: {error}", allow_module_level=True)
    return importlib.import_module(f"{PACKAGE}.{name}")


def install(tests: Path) -> None:
    """Makes the fetched tests and the stubs one package, under a name that clashes with nothing of ours."""
    # Their slow tests carry pytest's `slow` mark, so our own options decide; without this they skip themselves.
    os.environ.setdefault("RUN_SLOW", "1")
    package = ModuleType(PACKAGE)
    package.__path__ = [str(tests), str(STUBS)]
    sys.modules[PACKAGE] = package
    # The fetched files import one helper of the library's repository as a top-level module.
    sys.modules["fetch_hub_objects_for_ci"] = importlib.import_module(f"{PACKAGE}.utils.fetch_hub_objects_for_ci")


class VideoOutputsTest:
    """Stands before the peer's mixins where the common inputs hold videos: the peer's test knows images only."""

    def test_multimodal_outputs_are_returned(self):
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_generative_model_classes:
            with torch.no_grad():
                outputs = model_class(config).eval()(**self._prepare_for_class(inputs, model_class))
            assert len(outputs.video_outputs.pooler_output) == self.model_tester.batch_size
            assert outputs.image_outputs is None


class TorchvisionIsThereTest:
    """Stands before the peer's mixin of image processors."""

    @unittest.skip("torchvision is a requirement of this package: video processors need it")
    def test_pil_can_run_without_torchvision(self):
        pass


def cache_folder() -> Path:
    """pytest's cache, where it keeps what plugins store."""
    folder = Path(__file__).parents[2] / ".pytest_cache" / "d" / "peer_suite"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
