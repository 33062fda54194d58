# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A browser and a server for it to visit, both on this machine; random tiny models in engines, and their media."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import clips
import pytest
from PIL import Image
from tiny_models import TINY_MODELS, save_plainly

from video_lmms.apps.engine import Engine
from video_lmms.cli.listening import listen, url_of


# They need Gradio, for which tests/test_older_pillow.py makes a place.
collect_ignore = [] if find_spec("gradio") else ["test_demo.py", "test_demo_in_a_browser.py"]

# No graphics card, no sandbox (root in a container has none), and no talk with anybody's servers.
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, a `playwright.sync_api.Browser`; `browser.new_page()` gives a page with storage of its own.

    It is the system's, for Playwright's own download is not needed. Not shared by the whole session: while it runs,
    this thread has a running event loop, and other tests may want one of their own.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium on PATH; Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """A function that serves an ASGI app on a free port of loopback, and returns its address (no slash at the end)."""
    import uvicorn

    started: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Any) -> str:
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        started.append((server, thread))
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("The server ended before it began to listen.")
            time.sleep(0.01)
        return url_of("127.0.0.1", listener)

    yield start
    for server, thread in started:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Folder of a random model of a `model_type`, written once."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("apps") / name
            save_plainly(name, folders[name])
        return folders[name]

    return folder


@pytest.fixture(scope="session", params=sorted(TINY_MODELS))
def engine(request, tiny_folder):
    """An engine of each architecture."""
    with Engine(str(tiny_folder(request.param)), device="cpu") as opened:
        yield opened


@pytest.fixture(scope="session")
def pllava(tiny_folder):
    with Engine(str(tiny_folder("pllava")), device="cpu") as opened:
        yield opened


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """An mp4 of 90 frames, 3 seconds."""
    return clips.make("h264.mp4", tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory) -> Path:
    """Another picture, another length."""
    return clips.make("uneven.mp4", tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.effect_mandelbrot((80, 60), (-2, -1, 1, 1), 20).convert("RGB").save(path)
    return path


@pytest.fixture(scope="session")
def until_stopped() -> Callable[[Engine, int], Engine]:
    return wait_until_stopped


def wait_until_stopped(engine: Engine, pieces: int) -> Engine:
    """The same engine, whose answers pause after so many pieces until they are stopped, or for a minute."""
    write = engine.write

    def write_and_wait(plan, options, *, show=None, stop=None):
        shown = []

        def show_and_wait(piece):
            shown.append(piece)
            show(piece)
            if len(shown) == pieces:
                stop.wait(60)

        return write(plan, options, show=show_and_wait, stop=stop)

    engine.write = write_and_wait
    return engine
