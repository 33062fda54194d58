# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A process that has imported everything once and runs commands of `video-lmms` in children, which may be killed.

    python worker.py

reads one JSON object per line, `{"words": [...], "kill_after": seconds or null, "code": "python" or null}`, and
answers with `{"code": exit code, "out": ..., "err": ..., "seconds": ...}`; a killed child has the code -9.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path


def child(words: list[str], code: str | None, out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    status = 1
    try:
        if code is not None:
            exec(compile(code, "request", "exec"), {"__name__": "__main__"})
            status = 0
        else:
            from video_lmms.cli import app

            app(words, standalone_mode=True)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run(words: list[str], kill_after: float | None, code: str | None) -> dict:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            child(words, code, out.fileno(), err.fileno())
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        seconds = time.perf_counter() - start
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return {"code": os.waitstatus_to_exitcode(status), "out": texts[0], "err": texts[1], "seconds": seconds}


def main() -> None:
    import torch

    torch.set_num_threads(1)
    import video_lmms.cli  # noqa: F401
    import video_lmms.hub.converting
    import video_lmms.hub.publishing
    import video_lmms.hub.verification  # noqa: F401

    for path in Path(video_lmms.hub.converting.script_of("pllava").__file__).parent.glob("convert_*.py"):
        video_lmms.hub.converting.script_of(path.stem.removeprefix("convert_"))
    for line in sys.stdin:
        request = json.loads(line)
        answer = run(request.get("words", []), request.get("kill_after"), request.get("code"))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
