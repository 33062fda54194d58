# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms bench`: measurements on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import fail, note, progress, quiet_libraries, user_errors


bench = typer.Typer(name="bench", help="Measure on this machine.", no_args_is_help=True)


@bench.callback()
def measure() -> None:
    """Measure on this machine."""


@bench.command()
def video(
    frames: Annotated[int, typer.Option(min=300, help="Frames of each clip, at 30 per second.")] = 3600,
    size: Annotated[str, typer.Option(help="Width and height of the clips.")] = "640x360",
    rounds: Annotated[int, typer.Option(min=1, help="Times that each reader reads each sampling.")] = 5,
    clips: Annotated[Path | None, typer.Option(help="Folder to keep the clips in. Default: a temporary one.")] = None,
    peers: Annotated[str | None, typer.Option(help="Readers to compare with, separated by semicolons.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the video reader with decord, OpenCV, torchcodec and transformers' PyAV reader.

    Clips are made first. All readers read the same frames in turn; a ratio above 1 means that ours is faster.
    """
    with user_errors(), tempfile.TemporaryDirectory() as scratch:
        from ..evaluation.video_readers import CLIPS, PEERS, compare, write_clip

        quiet_libraries()
        width, height = parse_size(size)
        names = list(PEERS) if peers is None else [name.strip() for name in peers.split(";")]
        if unknown := set(names) - set(PEERS):
            raise fail(f"unknown readers: {', '.join(sorted(unknown))}. Known: {'; '.join(PEERS)}.")
        folder = clips or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{width}x{height}_{frames}_{kind.file}" for name, kind in CLIPS.items()}
        for name, path in paths.items():
            if not path.exists():
                note(f"encoding {name} ...")
                write_clip(path, CLIPS[name], frames, (width, height))
        rows = []
        with progress("comparing", len(paths) * 4 * len(names), "comparisons") as advance:
            for row in compare(paths, frames, rounds, names):
                rows.append(row)
                advance(1)
    if as_json:
        setting = {"frames": frames, "size": size, "rounds": rounds, "cores": os.cpu_count()}
        typer.echo(json.dumps(setting | {"comparisons": [asdict(row) for row in rows]}))
        return
    typer.echo(f"{frames} frames of {size}, {rounds} rounds, {os.cpu_count()} cores; their time / our time, medians")
    for row in rows:
        place = f"{row.clip:14} {row.sampling:10} {row.peer:18}"
        if row.problem is not None:
            typer.echo(f"{place} {row.problem}")
            continue
        typer.echo(
            f"{place} wall {row.wall:6.2f}  cpu {row.cpu:6.2f}  ({row.seconds:.3f} s to {row.our_seconds:.3f} s; "
            f"frames differ by {row.difference:.2f})"
        )


@bench.command()
def serve(
    model: Annotated[str, typer.Option(help="Model folder, Hub id, or the name of a model of the package.")],
    video: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="What is asked about.")],
    new_tokens: Annotated[int, typer.Option(min=1, help="Length of every answer.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each request is made.")] = 9,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, auto ... Default: the first accelerator.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare requests to a server on this machine with the same ones in the server's own process.

    A ratio of 1.1 means that the server adds a tenth to the time of an answer. OpenAI's client is part of it.
    """
    with user_errors():
        from ..evaluation.serving import compare

        quiet_libraries()
        costs = compare(model, str(video.resolve()), new_tokens=new_tokens, rounds=rounds, device=device)
    if as_json:
        rows = list(map(asdict, costs))
        typer.echo(json.dumps({"model": model, "new_tokens": new_tokens, "rounds": rounds, "costs": rows}))
        return
    typer.echo(f"{model}, answers of {new_tokens} tokens, medians of {rounds} rounds")
    for cost in costs:
        known = "fresh video" if cost.fresh else "known video"
        ratios = f"served / in process: wall {cost.ratio:.3f}  cpu {cost.cpu_ratio:.3f}"
        typer.echo(f"{cost.way:6} {known}: {cost.in_process:.4f} s in process, {ratios}")


@bench.command()
def models(
    output: Annotated[Path, typer.Option(help="Folder for clips, models, runs and the table. Continued if begun.")],
    only: Annotated[str | None, typer.Option(help="Contenders, separated by commas. Default: all.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="Training clips.")] = 4000,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each model.")] = 500,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips per step.")] = 32,
    held_out: Annotated[int, typer.Option(min=2, help="Clips per type of question to measure on.")] = 100,
    selection_clips: Annotated[int, typer.Option(min=0, help="Long clips to test choices of frames on.")] = 100,
    seed: Annotated[int, typer.Option(help="Of weights, clips and their order.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train the five ideas in small under one budget, compare them, and test each paper's claim.

    The same clips, questions, steps and about the same number of visual tokens for all. With the defaults it takes
    an hour or two on two cores; interrupted, it goes on where it stopped.
    """
    with user_errors():
        from ..evaluation.side_by_side import CONTENDERS, Budget, compare_models

        quiet_libraries()
        names = list(CONTENDERS) if only is None else [name.strip() for name in only.split(",")]
        budget = Budget(clips=clips, steps=steps, batch_size=batch_size, held_out=held_out, seed=seed)
        with progress("comparing", len(names), "models") as advance:
            found = compare_models(output, budget, names, selection_clips, advance)
    typer.echo(json.dumps(found) if as_json else (output / "comparison.md").read_text(encoding="utf-8"), nl=as_json)


@bench.command()
def answer(
    model: Annotated[str, typer.Option(help="Model folder, Hub id, or the name of a model of the package.")],
    video: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="What is asked about.")],
    new_tokens: Annotated[int, typer.Option(min=2, help="Length of the answer.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each phase is run.")] = 5,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, auto ... Default: the first accelerator.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    attention: Annotated[str | None, typer.Option(help="sdpa, flash_attention_2, eager ... Default: sdpa.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the time of an answer with the least that its operations take on this machine.

    The floor is what the operations would take at the speed of large matrix products. Decoding single tokens stays far
    above it: there, reading the weights takes the time.
    """
    with user_errors():
        from ..evaluation.throughput import measure

        quiet_libraries()
        result = measure(
            model,
            str(video),
            new_tokens=new_tokens,
            rounds=rounds,
            device=device,
            dtype=dtype,
            attn_implementation=attention,
        )
    if as_json:
        typer.echo(json.dumps({"model": model, "new_tokens": new_tokens, "rounds": rounds} | asdict(result)))
        return
    place = f"{result.device}, {result.dtype}, {result.attention}: {result.peak / 1e12:.3f} TFLOP/s"
    typer.echo(f"{model} on {place}, medians of {rounds} rounds")
    for phase in result.phases:
        times = f"{phase.seconds:.4f} s, floor {phase.floor:.4f} s, ratio {phase.seconds / phase.floor:.1f}"
        typer.echo(f"{phase.name:8} {phase.flops / 1e9:12,.2f} GFLOP  {times}")


def parse_size(size: str) -> tuple[int, int]:
    """(width, height) of a text such as 640x360.

    Raises:
        typer.Exit: code 2, for anything else and for odd numbers, which the codecs do not take.
    """
    parts = size.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) >= 32 and int(part) % 2 == 0 for part in parts):
        raise fail(f"a size is two even numbers from 32 up, such as 640x360; got {size!r}.")
    return int(parts[0]), int(parts[1])
