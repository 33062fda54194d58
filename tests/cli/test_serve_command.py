# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms serve` before it serves: what it is told, and mistakes. `tests/apps` talks to it."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from starlette.applications import Starlette
from transformers.utils import import_utils

from video_lmms.cli.listening import is_loopback, listen, url_of
from video_lmms.cli.serve import split_name


@pytest.fixture
def started(monkeypatch):
    """Runs of the server that were asked for, none of which begins."""
    runs: list[tuple[uvicorn.Config, list]] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: runs.append((self.config, sockets)))
    return runs


def mistake(result, started) -> str:
    assert (result.exit_code, result.stdout, started) == (2, "", [])
    return result.stderr


def test_models_are_loaded_and_served_under_their_names(command, folder, started, tmp_path):
    result = command(
        "serve",
        "--model",
        folder,
        "--model",
        f"other={folder}",
        "--port",
        0,
        "--device",
        "cpu",
        "--media-root",
        tmp_path,
    )
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if "weights" not in line]
    assert [line.partition(":")[0] for line in lines] == ["tiny", "other", "serving at http"]
    ((config, (listener,)),) = started
    assert isinstance(config.app, Starlette)
    assert f"http://127.0.0.1:{listener.getsockname()[1] if listener.fileno() >= 0 else ''}" in lines[-1]


def test_an_open_door_is_warned_of(command, folder, started):
    base = ("serve", "--model", folder, "--port", 0, "--device", "cpu", "--host", "0.0.0.0")
    assert "anyone who reaches 0.0.0.0" in command(*base).stderr
    assert "anyone" not in command(*base, "--api-key", "secret").stderr
    assert "secret" not in command(*base, "--api-key", "secret").output


def test_mistakes_are_named(command, folder, started, tmp_path, monkeypatch):
    assert "no such folder" in mistake(command("serve", "--media-root", tmp_path / "none"), started)
    assert "has no config.json" in mistake(command("serve", "--model", tmp_path), started)
    assert "4bit or 8bit" in mistake(command("serve", "--model", folder, "--quantization", "3bit"), started)
    monkeypatch.setattr(import_utils, "is_serve_available", lambda: False)
    assert "pip install 'video-lmms[serve]'" in mistake(command("serve"), started)


def test_names_and_addresses(tmp_path):
    (tmp_path / "a=b").mkdir()
    assert split_name("tiny-pllava") == ("tiny-pllava", "tiny-pllava")
    assert split_name("short=org/name") == ("short", "org/name")
    assert split_name(str(tmp_path)) == (tmp_path.name, str(tmp_path))
    assert split_name(str(tmp_path / "a=b")) == ("a=b", str(tmp_path / "a=b"))
    assert [is_loopback(host) for host in ("127.0.0.2", "::1", "localhost", "0.0.0.0", "example.com")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_responses_do_not_wait_for_acknowledgements():
    """With Nagle's algorithm, a response's body waits 40 ms for the client's word that it has the head."""

    async def without_delay() -> int:
        found = asyncio.get_running_loop().create_future()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = listen("127.0.0.1", 0)
        async with await asyncio.start_server(connected, sock=listener):
            _, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
            delay = await found
            writer.close()
            return delay

    assert asyncio.run(without_delay())


def test_a_taken_port_is_named(command, folder, started):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert url_of("::1", taken) == f"http://[::1]:{port}"
        result = command("serve", "--model", folder, "--port", port, "--device", "cpu")
    assert result.exit_code == 2
    assert f"Cannot listen at 127.0.0.1, port {port}" in result.stderr
    assert not started
