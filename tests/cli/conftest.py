# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The command in this process, a tiny bundle and a clip to use it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import clips
import pytest
from tiny_pllava import tiny_model, tiny_processor
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.hub import bundle, record_check


@pytest.fixture
def command() -> Callable:
    """Runs `video-lmms ARGUMENTS...`; an exception that is no clean exit is a failure of the test."""

    def run(*arguments: object) -> object:
        return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)

    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    model, processor = tiny_model(), tiny_processor()
    target = tmp_path_factory.mktemp("models") / "tiny"
    bundle(model, processor, target)
    record_check(model, processor, target)
    return target


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """An mp4 of 90 frames, 3 seconds."""
    return clips.make("h264.mp4", tmp_path_factory.mktemp("clips"))
