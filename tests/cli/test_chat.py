# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms chat`: answers on stdout, one per question, everything else on stderr."""

from __future__ import annotations

import pytest
from checkout import ROOT
from typer.testing import CliRunner

from video_lmms.apps.conversation import Conversation
from video_lmms.apps.engine import AnswerOptions, Engine, ReadingOptions
from video_lmms.cli import app
from video_lmms.cli.chat import Talk


@pytest.fixture
def talk(folder):
    """Runs the command with lines as its input."""

    def run(*lines, arguments=()):
        words = ["chat", "--model", str(folder), "--max-new-tokens", "4", *map(str, arguments)]
        return CliRunner().invoke(app, words, input="".join(f"{line}\n" for line in lines), catch_exceptions=False)

    return run


@pytest.fixture(scope="module")
def engine(folder):
    with Engine(str(folder)) as opened:
        yield opened


def test_questions_are_answered_in_turn(talk, clip, engine):
    conversation = Conversation()
    expected = []
    for question, videos in (("What do you see?", [clip]), ("And then?", [])):
        conversation.ask(question, videos=videos)
        expected.append(engine.answer(conversation, AnswerOptions(max_new_tokens=4)).text)
        conversation.answer(expected[-1])
    result = talk("What do you see?", "And then?", arguments=[clip])
    assert result.exit_code == 0
    assert result.stdout == "".join(f"{answer}\n" for answer in expected)
    later = talk(f"/video '{clip}'", "", "What do you see?", "And then?", "/exit", "Not read.")
    assert later.stdout == result.stdout


def test_frames_and_cost_are_told(talk, clip):
    result = talk("/cost", "What do you see?", "/frames", "/cost", arguments=[clip, "--num-frames", 3])
    notes = [line for line in result.stderr.splitlines() if "weights" not in line]
    plan, clips_line, frames, later, _ = notes
    assert plan.endswith("of them for media")
    assert clips_line == f"{clip}: 3 of 90 frames"
    assert frames.startswith(f"{clip}: ")
    assert (frames.count(","), frames[-2:]) == (2, " s")
    assert int(later.split()[0].replace(",", "")) > int(plan.split()[0].replace(",", ""))


def test_a_new_conversation_knows_nothing_of_the_last(talk, clip):
    alone = talk("What do you see?").stdout
    assert talk("Hello.", "/new", "What do you see?", arguments=[clip]).stdout.splitlines()[-1:] == alone.splitlines()


def test_mistakes_do_not_end_the_talk(talk, clip, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    result = talk("/video missing.mp4", "/poem", "/frames", f"/video {text}", "Hello.", "/new", "/help", "Hello.")
    assert result.exit_code == 0
    for part in ("no such file", "/poem is no command", "nothing has been answered", "plain text", "/image FILE..."):
        assert part in result.stderr
    assert result.stdout.count("\n") == 1
    missing = talk(arguments=[clip.with_name("missing.mp4")])
    assert (missing.exit_code, missing.stdout) == (2, "")


def test_an_interrupt_ends_the_answer_only(engine, clip, monkeypatch):
    options = AnswerOptions(max_new_tokens=100_000, temperature=1.0)
    talk = Talk(engine, options, ReadingOptions(), [str(clip)])
    monkeypatch.setattr(engine.model.generation_config, "eos_token_id", None)
    generations = []
    start = engine.start
    monkeypatch.setattr(engine, "start", lambda *args: generations.append(Once(start(*args))) or generations[0])
    talk.ask("What do you see?")
    assert generations[0].answer.finish_reason == "cancelled"
    assert generations[0].answer.new_tokens < 100_000
    assert talk.conversation.messages[-1][0] == "assistant"


class Once:
    """A generation during whose second piece somebody presses Ctrl-C."""

    def __init__(self, generation):
        self.generation, self.pieces = generation, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.pieces += 1
        if self.pieces == 2:
            raise KeyboardInterrupt
        piece = self.generation._pieces.get()
        if piece is None:
            raise StopIteration
        return piece

    def __getattr__(self, name):
        return getattr(self.generation, name)


def test_the_shipped_model_is_named_and_answers(clip):
    example = ROOT / "hub_configs/tiny-pllava/example.mp4"
    result = CliRunner().invoke(app, ["chat", str(example)], input="What colour is it?\n", catch_exceptions=False)
    assert "tiny-pllava" in result.stderr
    assert result.stdout.strip()
