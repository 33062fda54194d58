# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads every clip of `clips.py` in a process of its own and prints what came of it.

    python tests/check_clips.py FOLDER [NAME...]

One line of JSON per clip: how it ended, how many frames carry the number they should, what was refused and why, and
how long it took. A clip on which the reader spends more than five seconds of processor time ends the process, and so
does a crash: the lines that are missing are the failures.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import clips
import numpy as np

from video_lmms.evaluation.memory import peak_memory
from video_lmms.processing.video_errors import VideoError
from video_lmms.processing.video_inputs import open_video


PATIENCE = 5.0


def outcome(path: Path, expected: list[int] | None) -> dict:
    """Opens a clip as the processors do, reads all frames, a few of them backwards, and single ones."""
    seen: list[np.ndarray] = []

    def note(frame: np.ndarray) -> np.ndarray:
        seen.append(frame.shape)
        return np.array(clips.read_number(frame))

    try:
        with open_video(str(path), None, False) as video:
            count = video.metadata.total_num_frames
            orders = [list(range(count)), list(range(count))[::-17], *[[n] for n in {0, count // 2, count - 1}]]
            shown = [video.frames(numbers, note) for numbers in orders]
            warnings = video.reader.info.warnings if hasattr(video, "reader") else ()
    except VideoError as exc:
        return {"error": type(exc).__name__, "message": str(exc)}
    result = {"frames": count, "warnings": warnings, "sizes": len(set(seen))}
    consistent = all(np.array_equal(some, shown[0][order]) for some, order in zip(shown, orders, strict=True))
    if expected is not None:
        result["right"] = sum(int(a == b) for a, b in zip(shown[0], expected, strict=False))
        result["expected"] = len(expected)
    return result | {"consistent": consistent}


def plainly_decoded(path: Path) -> list[int] | None:
    """What a decode from start to end shows; None where it fails."""
    try:
        return clips.decoded_numbers(path)
    except Exception:
        return None


def within(seconds: float, work: Callable[[], dict]) -> dict:
    """Runs `work` with so much processor time, all threads together; running out of it ends the process."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    start, before = time.perf_counter(), time.process_time()
    result = work()
    signal.setitimer(signal.ITIMER_PROF, 0)
    return result | {
        "seconds": round(time.perf_counter() - start, 3),
        "cpu_seconds": round(time.process_time() - before, 3),
        "peak_mib": peak_memory() // 2**20,
    }


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or [*clips.SHOWN, *clips.BROKEN, *clips.FLIPPED]:
        path = clips.make(name, folder)
        expected = plainly_decoded(path) if name != "rotated.mov" else None
        result = within(PATIENCE, lambda path=path, expected=expected: outcome(path, expected))
        print(json.dumps({"name": name} | result), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
