# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms demo`: a page in the browser on which to drop videos and ask about them."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Annotated, NoReturn

import typer

from .console import fail, note, quiet_libraries, user_errors
from .listening import is_loopback


def demo(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Model folders, Hub ids or shipped names to choose from; the tiny models are there in any case.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. 0.0.0.0 shows the page to the network.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Default: the first free one from 7860 on.", show_default=False),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, auto ... Default: the first accelerator.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    hub_ids: Annotated[
        bool | None,
        typer.Option(
            "--hub-ids/--no-hub-ids",
            help="Let visitors name any model of the Hub. Default: only while nobody but this machine sees the page.",
            show_default=False,
        ),
    ] = None,
    loaded_models: Annotated[int, typer.Option(min=1, help="Models that stay loaded at once.")] = 1,
    max_waiting: Annotated[int, typer.Option(min=1, help="Questions that may wait; more are turned away.")] = 32,
    max_upload_mb: Annotated[int, typer.Option(min=1, help="Largest file, in MiB.")] = 512,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Ask about videos in the browser.

    The page is served by this machine and talks to no other. Ctrl-C ends it and removes what was uploaded.
    """
    with user_errors():
        try:
            from ..apps.demo import demo as open_demo
        except ImportError as exc:
            raise fail(f"the demo needs Gradio ({exc}). Install it: pip install 'video-lmms[demo]'") from None
        from ..apps.engine import Engine

        quiet_libraries()
        settings = {
            "hub_ids": is_loopback(host) if hub_ids is None else hub_ids,
            "loaded_models": loaded_models,
            "max_waiting": max_waiting,
            "max_upload_mb": max_upload_mb,
        }

        def load(source: str) -> Engine:
            return Engine(source, device=device, dtype=dtype, max_waiting=max_waiting)

        with open_demo(models or [], load, **settings) as opened:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, end)
            try:
                address = opened.launch(host, port, inbrowser=open_browser)
            except OSError as exc:
                raise fail(f"the page cannot be served there: {exc}") from None
            note(f"The demo is at {address} (Ctrl-C ends it).")
            threading.Event().wait()


def end(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the process with nothing left behind."""
    note("Ending the demo.")
    raise SystemExit(0)
