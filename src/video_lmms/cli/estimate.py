# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms estimate`: tokens, operations and memory of an answer, before anything is loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import check_video
from .console import quiet_libraries, user_errors


if TYPE_CHECKING:
    from ..estimation import Estimate


def estimate(
    model: Annotated[str, typer.Argument(help="Folder, Hub id, or a name the package knows, such as pllava-7b.")],
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Video files; only their index is read.")],
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, help="Frames per video. Default: the model's own.")] = None,
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens that prompt, videos and answer may fill. Default: the model's.")
    ] = None,
    text_tokens: Annotated[int, typer.Option(min=1, help="Tokens of question and prompt template.")] = 64,
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens of the answer.")] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Estimate what asking about videos costs. No weights are needed."""
    for video in videos:
        check_video(video)
    with user_errors():
        from ..apps.planning import check_context_length
        from ..estimation import TOKENS_DEPEND_ON_CONTENT
        from ..estimation import estimate as estimate_cost
        from ..hub.loading import load_blueprint, parse_dtype
        from ..processing.video_inputs import FileVideo
        from ..processing.video_reader import VideoReader

        quiet_libraries()
        config, video_processor = load_blueprint(model)
        if context_length is not None:
            check_context_length(model, config, video_processor)
            for part in (config, video_processor):
                if hasattr(part, "context_length"):
                    part.context_length = context_length
        metadata = []
        for video in videos:
            with VideoReader.open(video) as reader:
                metadata.append(FileVideo(reader).metadata)
        result = estimate_cost(
            config,
            video_processor,
            metadata,
            dtype=None if dtype is None else parse_dtype(dtype),
            num_frames=num_frames,
            text_tokens=text_tokens,
            new_tokens=new_tokens,
        )
    if as_json:
        typer.echo(json.dumps({"model": model} | result.as_dict()))
    else:
        typer.echo("\n".join(report(model, videos, result, config.model_type in TOKENS_DEPEND_ON_CONTENT)))


def report(model: str, videos: list[str], result: Estimate, at_most: bool) -> list[str]:
    """The estimate as lines for a reader; `at_most`: what the videos show decides whether they need as much."""
    parts = ", ".join(f"{name} {count:,}" for name, count in result.parameters.items() if name != "total")
    lines = [f"{model}: {result.parameters['total']:,} parameters ({parts})"]
    for video, cost in zip(videos, result.videos, strict=True):
        tokens = f"{'at most ' if at_most else ''}{cost.tokens:,} tokens"
        lines.append(f"{video}: {cost.sampled_frames} of {cost.num_frames} frames, {tokens}")
    text = result.text_tokens + sum(cost.text_tokens for cost in result.videos)
    lines.append(f"prompt: {result.prompt_tokens:,} tokens, {text:,} of them for the text")
    lines.append(
        "operations: " + ", ".join(f"{name} {count / 1e12:,.3f} TFLOP" for name, count in result.flops.items())
    )
    lines.append("memory: " + ", ".join(f"{name} {size / 2**30:,.3f} GiB" for name, size in result.memory.items()))
    return lines
