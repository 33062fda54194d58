# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms caption`: captions for a folder or a list of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import model_or_tiny
from .console import note, progress, quiet_libraries, user_errors


def caption(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Videos, folders, or lists (.txt, .jsonl).")],
    output: Annotated[Path, typer.Option(help="A .jsonl or .parquet file. What it holds is not captioned again.")],
    model: Annotated[str | None, typer.Option(help="Folder, Hub id or shipped name. Default: a tiny model.")] = None,
    request: Annotated[str, typer.Option(help="What is asked: recaption, describe, brief.")] = "recaption",
    instruction: Annotated[str | None, typer.Option(help="Words of your own to ask with.")] = None,
    prompts: Annotated[str | None, typer.Option(help="Prompt style. Default: that of the model's paper.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest caption. Default: 256 tokens.")] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, help="Frames per video. Default: the model's own.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to run. Default: the first accelerator, else CPU.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    ray: Annotated[int, typer.Option(min=0, help="Workers of a Ray cluster; 0 runs here. OUTPUT is a folder.")] = 0,
    ray_gpus: Annotated[float, typer.Option(min=0, help="GPUs of each worker of the cluster.")] = 0.0,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that a model brings.")
    ] = False,
) -> None:
    """Caption videos.

    Several processes share the work under `accelerate launch -m video_lmms.cli caption ...`.
    """
    with user_errors():
        from ..evaluation.captions import caption_videos, find_videos, ray_captions, request_of
        from ..evaluation.model_predictor import ModelPredictor
        from .answering import Answerer
        from .evaluate import shared_work

        quiet_libraries()
        asked = request_of(request, instruction)
        found = find_videos(videos)
        source = model_or_tiny(model)
        if ray:
            names = [name if "://" in name else str(Path(name).absolute()) for name in found]
            options = {"style": prompts, "max_new_tokens": max_new_tokens, "workers": ray, "gpus": ray_gpus}
            ray_captions(names, source, asked, **options).write_parquet(str(output.absolute()))
            return
        process, processes, wait, own_device = shared_work()
        answerer = Answerer(source, device or own_device, dtype, trust_remote_code)
        predictor = ModelPredictor(answerer, prompts, max_new_tokens, num_frames)
        facts = {"model": source, **predictor.describe()}
        mine = len(range(process, len(found), processes))
        with progress("captioning", mine, "videos") as advance:
            unreadable = caption_videos(output, predictor, found, asked, facts, process, processes, wait, advance)
    if not process:
        note(f"{len(found)} videos, {unreadable} unreadable: {output}")
