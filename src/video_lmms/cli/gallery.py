# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms gallery`: look at what a run answered, or at two runs side by side."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from .console import fail, note, user_errors
from .listening import is_loopback, listen, url_of


def gallery(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR [DIR2]", help="The --output of `evaluate`; a second one to compare.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen at. Default: this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8765,
    media_root: Annotated[
        Path | None, typer.Option(help="Where the videos lie now, if they have moved since the run.")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Browse the samples of an evaluation run, with their videos, in a web browser."""
    try:
        import uvicorn

        from ..apps.gallery import LOOPBACK, create_gallery
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise fail(f"The gallery needs {error.name}. Run `pip install 'video-lmms[serve]'`.") from None

    private = is_loopback(host)
    with user_errors():
        page = create_gallery(folders, media_root, LOOPBACK if private else ["*"])
    listener = listen(host, port)
    address = url_of(host, listener)
    if not private:
        note(f"Everyone who reaches {host} can see this run and its videos; without --host, only this machine can.")
    typer.echo(f"Gallery of {' and '.join(map(str, folders))}: {address} (Ctrl+C ends it)")
    if open_page:
        webbrowser.open(address)
    uvicorn.Server(uvicorn.Config(page, log_level="warning", ws="none", timeout_graceful_shutdown=1)).run([listener])
