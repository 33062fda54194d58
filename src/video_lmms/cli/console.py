# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What all commands share at the terminal: errors in one line, notes and progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


USAGE_ERROR = 2

Advance = Callable[[int], None]


@contextmanager
def user_errors() -> Iterator[None]:
    """Turns errors a user can mend into a message on stderr and exit code 2, without a traceback."""
    from ..errors import VideoLmmError
    from ..processing.video_errors import VideoError

    try:
        yield
    except (VideoLmmError, VideoError) as exc:
        raise fail(str(exc)) from None


def fail(message: str) -> typer.Exit:
    """Prints a message on stderr; the caller raises what is returned."""
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(USAGE_ERROR)


def note(message: str) -> None:
    """One line on stderr."""
    typer.echo(message, err=True)


def quiet_libraries() -> None:
    """Keeps the libraries' own progress bars and advice off the terminal."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Advance]:
    """A bar on a terminal; elsewhere one line on stderr when the work is done.

    Args:
        label: what is being done.
        total: number of steps.
        unit: what a step is, in the plural.

    Yields:
        A function to call with the number of steps done since.
    """
    start = time.perf_counter()
    if sys.stderr.isatty():
        with typer.progressbar(length=total, label=label, file=sys.stderr) as bar:
            yield bar.update
        return
    steps: list[int] = []
    yield steps.append
    note(f"{label}: {sum(steps)} {unit} in {time.perf_counter() - start:.1f} s")
