# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms demo`: it says where the page is, ends cleanly, and names mistakes before anybody visits."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from importlib.util import find_spec

import pytest


needs_gradio = pytest.mark.skipif(
    find_spec("gradio") is None, reason="wants an older Pillow; run by tests/test_older_pillow.py"
)


@needs_gradio
def test_a_folder_that_is_no_model(command, tmp_path):
    result = command("demo", tmp_path, "--device", "cpu")
    assert result.exit_code == 2
    assert f"{tmp_path.name} is not a model" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_gradio_it_says_what_to_install(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "video_lmms.apps.demo", raising=False)
    result = command("demo")
    assert result.exit_code == 2
    assert "pip install 'video-lmms[demo]'" in result.stderr


@needs_gradio
def test_a_port_that_is_taken(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = command("demo", "--device", "cpu", "--port", taken.getsockname()[1])
    assert result.exit_code == 2
    assert "cannot be served there" in result.stderr


@needs_gradio
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_as_it_is_told_and_leaves_nothing(number, tmp_path):
    arguments = [sys.executable, "-c", "from video_lmms.cli import main; main()", "demo", "--device", "cpu"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        address = re.search(r"The demo is at (\S+)", process.stderr.readline())[1]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as response:
            assert b"video-lmms" in response.read()
        assert len(list(tmp_path.glob("video-lmms-demo-*/examples/*.mp4"))) > 2
        process.send_signal(number)
        assert process.stderr.read().strip() == "Ending the demo."
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    assert list(tmp_path.rglob("*.mp4")) == list(tmp_path.glob("video-lmms-demo-*")) == []
