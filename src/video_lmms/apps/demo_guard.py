# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What keeps a visitor of the demo to their own files: no path of the server, no address fetched on their behalf.

Gradio serves what lies in its upload folder and what it is told to; it is told nothing, and the folder is made for one
run and removed after it. Gradio also fetches http(s) addresses that a client names in place of a file, and reads them
out again. Both ways are closed here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


# Ends of paths below Gradio's prefix that hand a request on to an address the client chose.
_FETCHING = ("/proxy=", "/file=http:", "/file=https:")


@contextmanager
def private_uploads() -> Iterator[Path]:
    """A folder for what visitors upload, which only the user of this process can enter; removed at the end.

    To be entered before components are made, each of which notes where the folder is. Reports to Gradio's makers are
    off inside.
    """
    folder = Path(tempfile.mkdtemp(prefix="video-lmms-demo-")).resolve()
    settings = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder)}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield folder
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


class NoFetching:
    """ASGI middleware that answers 403 where Gradio would fetch an address for a client."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = unquote(scope.get("path", "")).lower()
        if scope["type"] == "http" and any(mark in path for mark in _FETCHING):
            await PlainTextResponse("This server fetches no addresses.", status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def accept_uploads_only(component: Any) -> None:
    """Makes a component refuse an http(s) address where a client should name a file it uploaded.

    Replaced on the object, because Gradio writes a stub file beside every new class of components.
    """
    move: Callable[[str], Awaitable[str | None]] = component.async_move_resource_to_block_cache

    async def move_uploaded(path: str | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("This page takes files, not addresses. Download the video and drop it here.")
        return await move(path)

    component.async_move_resource_to_block_cache = move_uploaded
