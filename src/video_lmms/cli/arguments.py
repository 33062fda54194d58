# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Reading what a user gave: videos, questions, models; mistakes are named. Nothing heavy is imported here."""

from __future__ import annotations

import difflib
from pathlib import Path

from .console import fail, note


_EXAMPLE = 'video-lmms ask clip.mp4 "What happens in the video?"'
_VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogg"}


def is_url(source: str) -> bool:
    """Whether a video is named by an http(s) address."""
    return source.startswith(("http://", "https://"))


def split_question(words: list[str]) -> tuple[list[str], str]:
    """The videos and the question of `ask`.

    Args:
        words: all positional arguments.

    Raises:
        typer.Exit: code 2, after a message that names the mistake.
    """
    *videos, question = words
    if looks_like_file(question):
        raise fail(f"the last argument has to be the question, but {question!r} is a file. For example: {_EXAMPLE}")
    if not question.strip():
        raise fail(f"the question is empty. For example: {_EXAMPLE}")
    if not videos:
        raise fail(f"give at least one video before the question. For example: {_EXAMPLE}")
    for video in videos:
        check_video(video)
    return videos, question


def looks_like_file(word: str) -> bool:
    """Whether a word names an existing file, or is written like a video's name."""
    if len(word) < 256 and Path(word).exists():
        return True
    return " " not in word and (is_url(word) or Path(word).suffix.lower() in _VIDEO_SUFFIXES)


def check_video(video: str) -> None:
    """Refuses a missing file, with a guess at what was meant, and a folder.

    Raises:
        typer.Exit: code 2.
    """
    path = Path(video)
    if is_url(video) or path.is_file():
        return
    if path.is_dir():
        clips = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in _VIDEO_SUFFIXES)
        hint = f"Name one of its files, for example {path / clips[0]}" if clips else "It holds no video files"
        raise fail(f"{video} is a folder, not a video. {hint}.")
    if not path.parent.is_dir():
        raise fail(f"{video}: no such file, and there is no folder {path.parent}.")
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    close = difflib.get_close_matches(path.name, names, n=3)
    hint = " Did you mean " + " or ".join(str(path.with_name(name)) for name in close) + "?" if close else ""
    raise fail(f"{video}: no such file.{hint}")


def model_or_tiny(model: str | None) -> str:
    """The model that was named; without one the default tiny model, and a note on what that is."""
    from ..hub.sources import DEFAULT_MODEL, REAL_CHECKPOINT

    if model is None:
        note(
            f"Using {DEFAULT_MODEL}, a tiny model that only knows moving shapes. For real videos convert a real "
            f"checkpoint, such as {REAL_CHECKPOINT} (`video-lmms convert pllava --help`), and pass --model DIR."
        )
    return model or DEFAULT_MODEL
