# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What every test shares: no network, one thread per worker."""

from __future__ import annotations

import os
import sys

import pytest
from checkout import FLAT_FOLDERS


# Before anything imports huggingface_hub, which reads it once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Workers share the cores: one thread each, instead of as many threads as cores in every one of them.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_second_import():
    """From the root `import modeling` works too, and makes second class objects that no registry knows."""
    yield
    imported = set(FLAT_FOLDERS) & sys.modules.keys()
    assert not imported, f"imported as top-level modules: {sorted(imported)}; import them from `video_lmms`"
