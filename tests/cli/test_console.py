# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Progress: a bar on a terminal, one plain line elsewhere."""

from __future__ import annotations

import io
import sys

from video_lmms.cli.console import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("reading", 4, "frames") as advance:
        for _ in range(4):
            advance(1)
    assert "25%" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert "frames in" not in terminal.getvalue()


def test_a_log_gets_one_line_with_what_was_done(capsys):
    with progress("reading", 4, "frames") as advance:
        advance(1)
        advance(2)
    assert capsys.readouterr().err == "reading: 3 frames in 0.0 s\n"
