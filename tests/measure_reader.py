# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Memory and files of the reader, measured in a process that does nothing else.

python tests/measure_reader.py opens CLIP BROKEN_CLIP      1,000 times open, read, close
python tests/measure_reader.py stream CLIP                 one frame per second, streamed
"""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
import weakref
from contextlib import suppress

import numpy as np

from video_lmms.evaluation.memory import peak_memory
from video_lmms.processing.video_errors import VideoError
from video_lmms.processing.video_painter import Painter
from video_lmms.processing.video_reader import VideoReader


MIB = 1 << 20


def resident() -> float:
    """MiB of memory in use by this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def opens(clip: str, broken: str, rounds: int = 1000) -> dict:
    """Files open and memory in use after each hundredth round of opening, reading, closing, and failing to."""
    files, memory = [], []
    for number in range(1, rounds + 1):
        with VideoReader.open(clip) as reader:
            reader.read([number % len(reader)])
        with suppress(VideoError):
            VideoReader.open(broken)
        if number == 50 or number % 100 == 0:
            files.append(len(os.listdir("/proc/self/fd")))
            memory.append(round(resident(), 1))
    return {"files": files, "memory_mib": memory}


def stream(clip: str) -> dict:
    """Peak memory while a clip is read at one frame per second, and how many RGB frames were alive at once."""
    alive, most = [0], [0]
    paint = Painter.paint

    def counted(self: Painter, frame: object, size: tuple[int, int]) -> np.ndarray:
        image = paint(self, frame, size)
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        weakref.finalize(image, lambda: alive.__setitem__(0, alive[0] - 1))
        return image

    Painter.paint = counted
    tracemalloc.start()
    with VideoReader.open(clip) as reader:
        wanted = [reader.index_at(second) for second in range(int(reader.info.duration))]
        traced = []
        for position, (_, frames, _) in enumerate(reader.frames_at(wanted, transform=lambda f: f[::8, ::8].copy())):
            del frames
            if position == 1:
                tracemalloc.reset_peak()
        traced = tracemalloc.get_traced_memory()[1]
        count = len(reader)
    return {
        "frames": count,
        "wanted": len(wanted),
        "peak_mib": peak_memory() / MIB,
        "python_peak_mib": round(traced / MIB, 3),
        "most_frames_alive": most[0],
    }


if __name__ == "__main__":
    print(json.dumps({"opens": opens, "stream": stream}[sys.argv[1]](*sys.argv[2:])))
