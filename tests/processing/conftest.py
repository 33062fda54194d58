# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Clips for the tests of processing, written once per session."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import clips
import pytest
from web import Web


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def clip(clip_folder) -> Callable[[str], Path]:
    """Gives the path of a clip of `clips.SHOWN` or `clips.BROKEN`, and writes it on first use."""
    return lambda name: clips.make(name, clip_folder)


@pytest.fixture(scope="session")
def long_clip(clip_folder) -> Path:
    """640 frames with key frames 0, 250 and 500."""
    return clips.long_clip(clip_folder)


@pytest.fixture(scope="session")
def short_groups(clip_folder) -> Path:
    """640 frames with a key frame every 32."""
    return clips.long_clip(clip_folder, gop=32)


@pytest.fixture
def web(monkeypatch) -> Iterator[Web]:
    """The internet that URLs lead to, as long as a test runs."""
    internet = Web()
    monkeypatch.setattr(socket, "getaddrinfo", internet.lookup)
    monkeypatch.setattr(socket.socket, "connect", lambda sock, address: internet.connect(sock, address))
    yield internet
    monkeypatch.undo()
    internet.close()
