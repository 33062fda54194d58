# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms ask`: one question about one or several videos."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Annotated

import typer

from .arguments import model_or_tiny, split_question
from .console import fail, note, progress, quiet_libraries, user_errors


def ask(
    words: Annotated[
        list[str], typer.Argument(metavar="VIDEO... QUESTION", help="Video files or URLs, then the question.")
    ],
    model: Annotated[
        str | None, typer.Option(help="Model folder, Hub id, or the name of a model that ships with the package.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 128,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, auto ... Default: the first accelerator.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, help="Frames per video. Default: the model's own.")] = None,
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens that prompt, videos and answer may fill. Default: the model's.")
    ] = None,
    template: Annotated[str | None, typer.Option(help="A named prompt of the model. Default: its plain one.")] = None,
    audio: Annotated[bool, typer.Option("--audio", help="Let the model hear the videos' own sound too.")] = False,
    profiled: Annotated[bool, typer.Option("--profile", help="Tell where the time went.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer while it is made.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the code that an unknown model brings.")
    ] = False,
) -> None:
    """Ask a question about one or several videos.

    The answer goes to standard output, everything else to standard error.
    """
    videos, question = split_question(words)
    if stream and as_json:
        raise fail("--stream and --json exclude each other: the JSON object is printed when the answer is complete.")
    with user_errors():
        from .answering import Answerer
        from .profiling import LANGUAGE_MODEL, PREPROCESS, Profile

        quiet_libraries()
        answerer = Answerer(model_or_tiny(model), device, dtype, trust_remote_code)
        profile = Profile()
        show = (lambda text: typer.echo(text, nl=False)) if stream else None
        with profile.watching(answerer.model, answerer.processor) if profiled else nullcontext():
            with profile.phase(PREPROCESS):
                prompt = answerer.read(
                    videos,
                    question,
                    template=template,
                    num_frames=num_frames,
                    context_length=context_length,
                    audio=audio,
                    progress=progress,
                )
            with profile.phase(LANGUAGE_MODEL):
                result = answerer.answer(prompt, max_new_tokens, progress=progress, show=show)
        if profiled:
            result["profile"] = profile.as_dict()
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        typer.echo("" if stream else result["answer"])
        if profiled:
            note(profile.line())
