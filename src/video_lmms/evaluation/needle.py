# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A needle in long clips of the synthetic world: is it found, at what price, and in how much memory?

    python -m video_lmms.evaluation.needle --model tiny-longvu --clips 200 --minutes 10 60

Something flashes once for a second or two in clips of one to five minutes. The model answers about it with its own
choice of frames and tokens, and again with as many evenly spaced frames as its tokens would have paid for. Then clips
of the given lengths are rendered, and each is answered in a process of its own, whose peak memory is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from video_lmms.cli.answering import Answerer, silently
from video_lmms.data.world import draw_long_samples, write_rows
from video_lmms.evaluation.memory import peak_memory


SECONDS = (60.0, 300.0)
SEED = 4321


def ask(answerer: Answerer, row: dict[str, Any], num_frames: int | None = None) -> dict[str, Any]:
    """The answer to a row's question, and what it took: `answer`, `right`, and the facts on the video."""
    video, question = row["messages"][0]["content"]
    prompt = answerer.read([video["video"]], question["text"], num_frames=num_frames, progress=silently)
    result = answerer.answer(prompt, 4, progress=silently)
    pixels = sum(value.nbytes for name, value in prompt.inputs.items() if name.startswith("pixel_values"))
    return {"right": result["answer"] == row["answer"], "kept_pixel_bytes": pixels, **result["videos"][0]}


def compare(answerer: Answerer, clips: int) -> dict[str, dict[str, float]]:
    """Shares of right answers and mean tokens, of the model's own choice and of evenly spaced frames at its price."""
    own, uniform = [], []
    with tempfile.TemporaryDirectory() as folder:
        for row in write_rows(draw_long_samples(SEED, clips, "held_out", SECONDS), folder):
            own.append(ask(answerer, row))
            price = ask(answerer, row, num_frames=1)["visual_tokens"]
            uniform.append(ask(answerer, row, num_frames=max(1, own[-1]["visual_tokens"] // price)))
    return {
        name: {
            "right": sum(found["right"] for found in results) / clips,
            "tokens": sum(found["visual_tokens"] for found in results) / clips,
        }
        for name, results in (("own choice", own), ("evenly spaced", uniform))
    }


def measure(model: str, minutes: float) -> dict[str, Any]:
    """Peak memory of answering about one clip, in a new process; the pixels of the kept frames are told apart."""
    with tempfile.TemporaryDirectory() as folder:
        (row,) = write_rows(draw_long_samples(SEED, 1, "held_out", (minutes * 60, minutes * 60)), folder)
        command = [sys.executable, "-m", "video_lmms.evaluation.needle", "--model", model, "--row", json.dumps(row)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry."""
    parser = argparse.ArgumentParser(prog="python -m video_lmms.evaluation.needle", description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="tiny-longvu", help="folder, Hub id or shipped name; default: %(default)s")
    parser.add_argument("--clips", type=int, default=200, help="held-out clips; default: %(default)s, 0 for none")
    parser.add_argument("--minutes", type=float, nargs="*", default=[10, 60], help="lengths to measure memory at")
    parser.add_argument("--row", help=argparse.SUPPRESS)  # one row as JSON: what a measuring process is given
    arguments = parser.parse_args(argv)
    if arguments.row:
        found = ask(Answerer(arguments.model, "cpu", None, False), json.loads(arguments.row))
        facts = {name: found[name] for name in ("right", "sampled_frames", "kept_frames", "visual_tokens")}
        sys.stdout.write(json.dumps(facts | {"bytes": peak_memory() - found["kept_pixel_bytes"]}) + "\n")
        return 0
    if arguments.clips:
        for name, values in compare(Answerer(arguments.model, "cpu", None, False), arguments.clips).items():
            sys.stdout.write(f"{name}: {values['right']:.1%} right at {values['tokens']:.0f} tokens\n")
    first = None
    for minutes in arguments.minutes:
        facts = measure(arguments.model, minutes)
        first = first or facts["bytes"]
        sys.stdout.write(
            f"{minutes:g} minutes: {facts['sampled_frames']} frames looked at, {facts['kept_frames']} kept, "
            f"{facts['visual_tokens']} tokens, {facts['bytes'] / 2**20:.0f} MiB beside the kept frames "
            f"({facts['bytes'] / first:.3f} times the first), needle {'found' if facts['right'] else 'missed'}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
