# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How much memory a measurement took. It belongs in a process of its own, for a peak never falls again."""

from __future__ import annotations

from pathlib import Path


def peak_memory() -> int:
    """Most bytes this process has held (Linux). `ru_maxrss` would begin with those of the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
