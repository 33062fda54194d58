# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What happens between a visitor and a model; the page around it is `demo.py`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import VideoLmmError
from ..processing.video_errors import VideoError, VideoLimits, short_name
from ..processing.video_images import is_image_name
from .conversation import Conversation, Medium
from .demo_films import Thumbnails, films_of
from .demo_models import ModelShelf
from .demo_views import Film
from .engine import Answer, AnswerOptions, Engine, Generation, Plan, ReadingOptions


VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv")
# A WebP may be animated: the reader of videos takes it either way.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass
class Update:
    """What the page should show now.

    Attributes:
        text: the answer as far as it is written.
        films: what it rests on, once it is complete.
        footnote: tokens, time, and what was remembered; once it is complete.
    """

    text: str
    films: list[Film] | None = None
    footnote: str = ""


@dataclass
class Session:
    """One visitor's conversation. Copied while it is empty, once per visitor.

    Attributes:
        messages: as [`Conversation`] keeps them.
        shown: as the page shows them.
        generation: of the answer that is being written.
        asked: text and files of the question that is to be answered next; None where there is none.
    """

    messages: list[tuple[str, list[str | Medium]]] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    generation: Generation | None = None
    asked: tuple[str, list[str]] | None = None

    def clear(self) -> None:
        """Ends what is being written and forgets what was said."""
        self.stop()
        self.messages, self.shown = [], []

    def stop(self) -> None:
        """Ends the answer that is being written, at the next token, and takes back the question that waits."""
        self.asked = None
        if self.generation is not None:
            self.generation.stop()


class Chat:
    """Conversations of visitors with the models of a shelf.

    Args:
        shelf: of models.
        limits: what uploaded media may be.
    """

    def __init__(self, shelf: ModelShelf, limits: VideoLimits):
        self.shelf, self.limits = shelf, limits
        self._thumbnails, self._drawing = Thumbnails(limits), threading.Lock()

    def plan(
        self, session: Session, model: str, text: str, files: Sequence[str], reading: ReadingOptions | None = None
    ) -> tuple[Engine, Plan, list]:
        """What a question would cost. Nothing is decoded but images.

        Args:
            session: the visitor's; it is not changed.
            model: name on the shelf.
            text: of the question.
            files: uploaded with it.
            reading: how to look at videos; by default as the model's paper does.

        Returns:
            the engine, its plan, and the question's parts.

        Raises:
            VideoLmmError: the model cannot be had or does not take such media, or a file is not what its name says.
        """
        engine = self.shelf.engine(model)
        with named_as_uploaded(files, engine.source, model):
            conversation = Conversation(self.limits, list(session.messages))
            media = [conversation.medium(kind_of(file), file, name=Path(file).name) for file in files]
            parts = [*media, text]
            conversation.messages.append(("user", parts))
            return engine, engine.plan(conversation, reading), parts

    def answer(
        self,
        session: Session,
        model: str,
        text: str,
        files: Sequence[str],
        options: AnswerOptions,
        reading: ReadingOptions | None = None,
    ) -> Iterator[Update]:
        """Answers piece by piece; the conversation grows once the answer is complete.

        Args:
            session: the visitor's.
            model: name on the shelf.
            text: of the question.
            files: uploaded with it.
            options: how to generate.
            reading: see [`plan`].

        Raises:
            VideoLmmError: see [`plan`]; or the model is busy, or still answers this visitor.
        """
        if session.generation is not None:
            raise VideoLmmError("The last question is still being answered. Wait for its end, or stop it.")
        engine, plan, parts = self.plan(session, model, text, files, reading)
        generation = session.generation = engine.start(Conversation(self.limits), options, plan=plan)
        messages, said = session.messages, ""
        try:
            with named_as_uploaded(files, engine.source, model):
                for piece in generation:
                    said += piece
                    yield Update(said)
                answer = generation.answer
                with self._drawing:
                    films = films_of(engine, plan, answer, self._thumbnails)
            messages += [("user", parts), ("assistant", [answer.text])]  # another list, if all was cleared meanwhile
            yield Update(answer.text, films, footnote(answer))
        finally:
            generation.stop()
            session.generation = None


def kind_of(file: str) -> str:
    """ "image" or "video", by the name."""
    return "image" if is_image_name(file) else "video"


@contextmanager
def named_as_uploaded(files: Sequence[str], source: str, model: str) -> Iterator[None]:
    """Turns errors into such that call files and models what the visitor calls them, and show no path of the server.

    Raises:
        VideoLmmError: in place of any error about a file or a model.
    """
    try:
        yield
    except (VideoLmmError, VideoError) as exc:
        message = str(exc)
        for path, name in ((source, model), *((file, Path(file).name) for file in files)):
            message = message.replace(path, name).replace(short_name(path), name)
        raise VideoLmmError(message) from exc


def footnote(answer: Answer) -> str:
    """What an answer cost."""
    parts = [f"{answer.prompt_tokens:,} tokens in, {answer.new_tokens:,} out", f"{sum(answer.seconds.values()):.1f} s"]
    if answer.remembered:
        noun = "one medium" if answer.remembered == 1 else f"{answer.remembered} media"
        parts.append(f"{noun} remembered, not encoded again")
    parts += {"length": ["cut at the longest answer"], "cancelled": ["stopped"]}.get(answer.finish_reason, [])
    return " · ".join(parts)
