# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms chat`: a conversation about videos in the terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import check_video, model_or_tiny
from .console import note, quiet_libraries, user_errors


if TYPE_CHECKING:
    from ..apps.engine import AnswerOptions, Engine, Generation, ReadingOptions

HELP = """\
/video FILE...   show videos with the next question; FILE may be a URL
/image FILE...   show images with the next question
/cost            tokens of the conversation so far, and of what waits to be shown
/frames          frames that the last answer is based on, with their times
/new             begin a new conversation
/help            this list
/exit            end; so does Ctrl-D
Ctrl-C ends an answer that is being written."""


def chat(
    videos: Annotated[
        list[str] | None, typer.Argument(metavar="[VIDEO]...", help="Video files or URLs to begin with.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model folder, Hub id, or the name of a model that ships with the package.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 512,
    temperature: Annotated[float, typer.Option(min=0, help="0 always takes the likeliest word.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Draw from words of this probability together.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Draw the same again.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, auto ... Default: the first accelerator.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: as stored.")] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, help="Frames per video. Default: the model's own.")] = None,
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens that prompt, videos and answer may fill. Default: the model's.")
    ] = None,
    template: Annotated[str | None, typer.Option(help="A named prompt of the model. Default: its plain one.")] = None,
    audio: Annotated[bool, typer.Option("--audio", help="Let the model hear the videos' own sound too.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the code that an unknown model brings.")
    ] = False,
) -> None:
    """Talk about videos. What a model saw in them is kept, so that further questions are answered at once.

    Answers go to standard output, everything else to standard error. Type /help for what can be done besides asking.
    """
    for video in videos or ():
        check_video(video)
    with user_errors():
        from ..apps.engine import AnswerOptions, Engine, ReadingOptions

        quiet_libraries()
        reading = ReadingOptions(num_frames, None, context_length, template, audio)
        options = AnswerOptions(max_new_tokens, temperature, top_p, seed=seed)
        source = model_or_tiny(model)
        with Engine(source, device=device, dtype=dtype, trust_remote_code=trust_remote_code) as engine:
            Talk(engine, options, reading, videos or []).run()


class Talk:
    """One sitting at the terminal.

    Args:
        engine: that answers.
        options: of every answer.
        reading: of every video.
        videos: shown with the first question.
    """

    def __init__(self, engine: Engine, options: AnswerOptions, reading: ReadingOptions, videos: list[str]):
        self.engine, self.options, self.reading = engine, options, reading
        self.last: Generation | None = None
        self.commands: dict[str, Callable[[list[str]], None]] = {
            "/video": lambda files: self.show("video", files),
            "/image": lambda files: self.show("image", files),
            "/cost": self.tell_cost,
            "/frames": self.tell_frames,
            "/new": self.begin,
            "/help": lambda files: note(HELP),
        }
        self.begin()
        self.show("video", videos)

    def run(self) -> None:
        """Reads lines until there are no more."""
        if sys.stdin.isatty():
            import readline  # noqa: F401, line editing and history

            note("Ask away; /help tells what else can be done.")
        while (line := read_line()) not in (None, "/exit", "/quit"):
            self.take(line.strip())

    def take(self, line: str) -> None:
        """One line: a command, or a question to answer. Mistakes are named, and the talk goes on."""
        from ..errors import VideoLmmError

        try:
            if line.startswith("/"):
                command, *words = shlex.split(line)
                if command not in self.commands:
                    raise ValueError(f"{command} is no command. /help lists them.")
                self.commands[command](words)
            elif line:
                self.ask(line)
        except (VideoLmmError, ValueError) as exc:  # errors of videos are ValueErrors
            note(f"error: {exc}")

    def begin(self, words: list[str] | None = None) -> None:
        """A new conversation."""
        from ..apps.conversation import Conversation

        self.conversation, self.waiting, self.last = Conversation(self.engine.limits), [], None

    def show(self, kind: str, files: list[str]) -> None:
        """Opens media, to be shown with the next question."""
        self.waiting += [self.conversation.medium(kind, file) for file in files]

    def ask(self, question: str) -> None:
        """Answers a question piece by piece; one that cannot be answered is forgotten."""
        messages = list(self.conversation.messages)
        self.conversation.messages.append(("user", [*self.waiting, question]))
        try:
            self.last = self.engine.start(self.conversation, self.options, self.reading)
            for piece in self.interruptible(self.last):
                typer.echo(piece, nl=False)
            answer = self.last.answer
        except ValueError:
            self.conversation.messages = messages
            raise
        typer.echo("")
        self.waiting = []
        self.conversation.answer(answer.text)

    def interruptible(self, generation: Generation) -> Iterator[str]:
        """The pieces of an answer, which Ctrl-C ends."""
        pieces = iter(generation)
        while True:
            try:
                yield next(pieces)
            except StopIteration:
                return
            except KeyboardInterrupt:
                generation.stop()

    def tell_cost(self, words: list[str]) -> None:
        """Tokens of the next prompt, without its question."""
        parts = [*self.waiting, ""]
        self.conversation.messages.append(("user", parts))
        try:
            plan = self.engine.plan(self.conversation, self.reading)
        finally:
            self.conversation.messages.pop()
        most = "at most " if plan.at_most else ""
        note(f"{most}{plan.prompt_tokens:,} tokens, {plan.visual_tokens:,} of them for media")
        for facts in plan.videos:
            note(f"{facts['path']}: {len(facts['frames_indices'])} of {facts['num_frames']} frames")

    def tell_frames(self, words: list[str]) -> None:
        """What the last answer is based on."""
        if self.last is None:
            raise ValueError("nothing has been answered yet.")
        for facts in self.last.answer.videos:
            times = facts.get("chosen_times", facts.get("kept_times", facts["times"]))
            seconds = ", ".join(f"{time:.2f}" for time in times)
            note(f"{facts['path']}: {seconds} s" if times else f"{facts['path']}: an image")


def read_line() -> str | None:
    """The next line without its end; None at the end of the input."""
    if sys.stdin.isatty():
        try:
            return input("> ")
        except EOFError:
            return None
        except KeyboardInterrupt:
            note("")
            return ""
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None
