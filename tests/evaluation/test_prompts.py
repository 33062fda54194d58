# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Styles write what the papers' scripts wrote, and read what they read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkout import ROOT
from jinja2 import Environment

from video_lmms.errors import VideoLmmError
from video_lmms.evaluation.prompts import STYLES, find_letter, find_style
from video_lmms.evaluation.tasks import TASKS, Sample
from video_lmms.processing.chat_templates_pllava import PROMPTS, chat_template


PLLAVA = json.loads((ROOT / "tests/goldens/pllava/published_sharded/prompts.json").read_text(encoding="utf-8"))
LONGVU = json.loads((ROOT / "tests/goldens/longvu/qwen2_video_144_8/eval.json").read_text(encoding="utf-8"))
PLLAVA_TEMPLATES = {name: chat_template(name) for name in PROMPTS}


def sample(question: str, choices: tuple[str, ...] = (), **details: object) -> Sample:
    return Sample("1", Path("clip.mp4"), question, "A", choices, details=details)


def record(answer: str, choices: list[str], expected: object = "A", task: str = "mvbench") -> dict:
    return {"task": task, "answer": answer, "choices": choices, "expected": expected}


def pllava_prompt(task: str, asked: Sample, default: str = "plain") -> str:
    """What PLLaVA's processor makes of a question."""
    templates = PLLAVA_TEMPLATES | {"default": PLLAVA_TEMPLATES[default]}
    question = STYLES["pllava"].ask(TASKS[task], asked, None, templates)
    body = templates[question.template].replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    content = [{"type": "video"}, {"type": "text", "text": question.text}]
    messages = [{"role": "user", "content": content}]
    return (
        Environment(extensions=["jinja2.ext.loopcontrols"])
        .from_string(body)
        .render(messages=messages, add_generation_prompt=True, **question.template_options)
    )


def conversation(name: str) -> dict:
    return next(row for row in PLLAVA["conversations"] if row["name"] == name)


def test_pllava_asks_mvbench_as_its_runner_did():
    asked = sample("What did the man do first?", ("Opened the door", "Sat on the chair", "Put the bag down"))
    assert pllava_prompt("mvbench", asked) == conversation("mvbench")["prompt"]
    assert "<|im_start|>user" in pllava_prompt("mvbench", asked, default="plain_llavanext")


def test_pllava_asks_vcg_as_its_runner_did():
    golden = conversation("vcg")
    assert pllava_prompt("vcg", sample(golden["actions"][0][1])) == golden["prompt"]


def test_pllava_asks_open_questions_with_the_answer_opened():
    prompt = pllava_prompt("msvd_qa", sample("what is he doing?"))
    assert prompt.endswith("Question: what is he doing? \n ASSISTANT:\nAnswer: In the video,")


def test_pllava_checks_answers_as_its_runner_did():
    """The recorded predictions hold the bracket that the prompt ends with."""
    checked = 0
    for row in PLLAVA["mvbench_check"]:
        letter, _, words = row["gt"].removeprefix("(").partition(") ")
        if not row["pred"].startswith("("):
            continue
        choices = ["other words"] * 7
        choices["ABCDEFG".index(letter.upper())] = words
        read = STYLES["pllava"].read("choice", record(row["pred"][1:], choices, letter.upper()))
        assert bool(read.score) is row["correct"], row
        checked += 1
    assert checked > 3


@pytest.mark.parametrize(
    ("task", "golden", "count"), [("mvbench", "mvbench", 3), ("egoschema", "egoschema", 5), ("mlvu", "mlvu", 4)]
)
def test_longvu_asks_as_its_scripts_did(task, golden, count):
    asked = STYLES["longvu"].ask(TASKS[task], sample(LONGVU["question"], tuple(LONGVU["options"][:count])), None, {})
    assert asked.text == LONGVU["prompts"][golden]


def test_longvu_asks_videomme_with_what_is_said():
    lettered = [f"{letter}. {option}." for letter, option in zip("ABCD", LONGVU["options"], strict=False)]
    asked = sample(LONGVU["question"], tuple(LONGVU["options"][:4]), options=lettered)
    text = STYLES["longvu"].ask(TASKS["videomme_subtitles"], asked, LONGVU["subtitles"]["selected"], {}).text
    assert text == LONGVU["prompts"]["videomme_with_subtitles"]


def test_longvu_reads_as_its_scripts_did():
    """All recorded answers, with the letters of each benchmark."""
    for row in LONGVU["parsing"]:
        for name, task in (("mvbench4", "mvbench"), ("egoschema", "egoschema"), ("mlvu", "mlvu"), ("videomme",) * 2):
            choices = ["x"] * len(LONGVU["option_letters"][name])
            wanted = row[name]["letter"]
            read = STYLES["longvu"].read("choice", record(row["text"], choices, "B", task))
            assert read.parsed == (None if row[name]["error"] else wanted), (row["text"], name)
            assert read.score == float(read.parsed == "B")


def test_each_model_has_the_style_of_its_paper():
    for model_type, style in (
        ("pllava", "pllava"),
        ("longvu", "longvu"),
        ("videotgb", "videotgb"),
        ("apollo", "plain"),
    ):
        assert find_style(None, model_type).name == style
    assert find_style("plain", "pllava").name == "plain"
    with pytest.raises(
        VideoLmmError, match="There is no prompt style 'poem'. Styles: plain, pllava, longvu, videotgb"
    ):
        find_style("poem")


CHOICES = ["A man runs", "A man sits", "no one is there", "blue"]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("D.", "D"),
        ("d", None),
        (" B: A man sits", "B"),
        ("The answer is C.", "C"),
        ("Answer: (A)", "A"),
        ("Option D", "D"),
        ("The right one is (B), because he sits.", "B"),
        ("A man sits", "B"),
        ("a man sits.", "B"),
        ("A", "A"),
        ("Blue", "D"),
        ("It is blue.", "D"),
        ("A man runs, or a man sits", None),
        ("(A) or (B)", "A"),
        ("It is (A) or (B)", None),
        ("I do not know", None),
        ("E", None),
        ("", None),
    ],
)
def test_letters_are_found(answer, letter):
    assert find_letter(answer, CHOICES) == letter


def test_yes_and_no_are_choices():
    plain = STYLES["plain"]
    asked = plain.ask(TASKS["tempcompass"], sample("Is it fast?", ("yes", "no"), yes_no=True), None, {})
    assert asked.text == "Is it fast?\nAnswer yes or no."
    for answer, expected in (("Yes, it is.", "A"), ("no", "B"), ("No, not yes", "B")):
        assert plain.read("choice", record(answer, ["yes", "no"], expected)).score == 1.0


@pytest.mark.parametrize(
    ("answer", "span", "score"),
    [
        ("2.5 - 7.0", [2.5, 7.0], 1.0),
        ("It happens from 0:02 to 0:07.", [2.0, 7.0], 0.9),
        ("between 1:00:02 and 1:00:07", [3602.0, 3607.0], 0.0),
        ("7 to 2.5 seconds", [2.5, 7.0], 1.0),
        ("at 3", None, 0.0),
        ("", None, 0.0),
    ],
)
def test_spans_are_read(answer, span, score):
    read = STYLES["plain"].read("grounding", record(answer, [], (2.5, 7.0)))
    assert read.parsed == span
    assert read.score == pytest.approx(score)


def test_shared_words_are_counted():
    read = STYLES["plain"].read("open", record("A dog runs, and runs!", [], "the dog runs"))
    assert read.score == pytest.approx(2 * 2 / (4 + 2))
    assert STYLES["plain"].read("open", record("", [], "the dog")).score == 0.0
