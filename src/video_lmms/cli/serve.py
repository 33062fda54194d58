# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms serve`: models behind OpenAI's chat completions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import fail, note, quiet_libraries, user_errors
from .listening import is_loopback, listen, url_of


GIB = 1 << 30
MIB = 1 << 20


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model folder, Hub id or shipped name, also NAME=FOLDER. May be given several times."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, auto ... Default: the first accelerator.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    quantization: Annotated[str | None, typer.Option(help="4bit or 8bit, with bitsandbytes. Default: none.")] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(envvar="VIDEO_LMMS_API_KEY", help="Accept only requests with this key. May be repeated."),
    ] = None,
    media_root: Annotated[
        list[Path] | None, typer.Option(help="Folder whose files requests may name. Default: none.")
    ] = None,
    private_addresses: Annotated[
        bool, typer.Option("--private-addresses", help="Also open URLs that lead to this machine or its network.")
    ] = False,
    memory: Annotated[float, typer.Option(min=0, help="GiB of media features to remember, per model.")] = 1.0,
    max_waiting: Annotated[int, typer.Option(min=0, help="Answers of a model that may wait for others.")] = 32,
    max_body: Annotated[float, typer.Option(min=0.001, help="MiB of a request.")] = 64.0,
    max_download: Annotated[float, typer.Option(min=0.001, help="MiB of a video that is fetched.")] = 512.0,
    max_video_seconds: Annotated[float, typer.Option(min=1, help="Longest video.")] = 24 * 3600.0,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Largest frame or image; 8K by default.")] = 33.2,
    max_media: Annotated[int, typer.Option(min=1, help="Images, videos and sounds of a request.")] = 16,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer a request may ask for.")] = 4096,
    shutdown_seconds: Annotated[
        int, typer.Option(min=0, help="Time that answers have left when the server is told to end.")
    ] = 30,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the code that an unknown model brings.")
    ] = False,
) -> None:
    """Serve models over HTTP, in the dialect of OpenAI's chat completions.

    Videos come as `video_url`, images as `image_url`: a public URL, a data URL, or a file below --media-root. Clients
    find the models at http://HOST:PORT/v1; /health and /metrics tell how the server is.
    """
    with user_errors():
        from transformers.utils import import_utils

        if not import_utils.is_serve_available():
            raise fail(
                "the server needs fastapi, uvicorn, openai and pydantic: run `pip install 'video-lmms[serve]'`."
            )
        import uvicorn

        from ..apps.engine import Engine
        from ..apps.media_door import MediaDoor
        from ..apps.server import ServerLimits, build_app
        from ..hub.loading import quantization_config
        from ..hub.sources import DEFAULT_MODEL
        from ..processing.video_errors import VideoLimits

        quiet_libraries()
        limits = VideoLimits(
            pixels=int(max_megapixels * 1e6),
            download_bytes=int(max_download * MIB),
            seconds=max_video_seconds,
            private_addresses=private_addresses,
        )
        for root in media_root or ():
            if not root.is_dir():
                raise fail(f"--media-root {root}: no such folder.")
        door = MediaDoor(media_root or (), limits)
        engines = {}
        for name, source in map(split_name, model or [DEFAULT_MODEL]):
            engines[name] = Engine(
                source,
                device=device,
                dtype=dtype,
                memory_bytes=int(memory * GIB),
                max_waiting=max_waiting,
                limits=limits,
                quantization_config=quantization_config(quantization),
                trust_remote_code=trust_remote_code,
            )
            note(f"{name}: loaded in {engines[name].load_seconds:.1f} s on {engines[name].model.device}")
        app = build_app(
            engines,
            door=door,
            limits=ServerLimits(body_bytes=int(max_body * MIB), media=max_media, new_tokens=max_new_tokens),
            api_keys=api_key or (),
        )
    if not api_key and not is_loopback(host):
        note(f"warning: anyone who reaches {host} can use this server. Ask for a key with --api-key.")
    config = uvicorn.Config(app, ws="none", log_level="warning", timeout_graceful_shutdown=shutdown_seconds)
    with listen(host, port) as listener:
        note(f"serving at {url_of(host, listener)}/v1")
        uvicorn.Server(config).run(sockets=[listener])


def split_name(model: str) -> tuple[str, str]:
    """Name for clients and source of `NAME=SOURCE` or `SOURCE`; a folder is called by its last part."""
    name, equals, source = model.partition("=")
    if equals and not Path(model).exists():
        return name, source
    return (Path(model).resolve().name if Path(model).is_dir() else model), model
