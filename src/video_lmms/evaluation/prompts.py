# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How a benchmark's question is put to a model, and how its answer is read: by name, with a version.

| style | whose | choice | open question | aspects (VCG) |
| --- | --- | --- | --- | --- |
| `pllava` | PLLaVA | its MVBench prompt, the answer opened with "Best option:(" | its QA prompt | its VCG prompt |
| `longvu` | LongVU | per benchmark, with its frames and thresholds | the question | the question |
| `videotgb` | VideoTGB | as `plain` | the question in its evaluation prompt | the same |
| `plain` | the field | options "A. ...", and a request for the letter | the question | the question |

Apollo's authors published neither prompts nor parsing and Video-LLaMA's no benchmarks: `plain` is theirs too. A change
to anything a style writes or reads raises its version, which every sample's record names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import VideoLmmError
from .longvu import SUBTITLE_HEADER, benchmark_question, read_letter
from .pllava import mvbench_is_correct
from .records import SampleRecord
from .tasks.base import LETTERS, Sample, Task


@dataclass(frozen=True)
class Asked:
    """A question as a model gets it.

    Attributes:
        text: the user's words.
        template: name of the processor's chat template; None takes its default.
        template_options: arguments of the template.
    """

    text: str
    template: str | None = None
    template_options: dict[str, str] = field(default_factory=dict)


class Reading(NamedTuple):
    """What was read from an answer: a letter, a word, (start, end), or None; and its score from 0 to 1."""

    parsed: Any
    score: float


class PlainStyle:
    """The question, options with letters, and a request for the letter alone."""

    name = "plain"
    version = 1
    # Benchmarks' frames and thresholds, where a paper has some: task -> options of the processor, model settings.
    video_options: Mapping[str, Mapping[str, Any]] = {}
    settings: Mapping[str, Mapping[str, Any]] = {}
    template: str | None = None

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"

    def ask(self, task: Task, sample: Sample, spoken: Sequence[str] | None, templates: Mapping[str, str]) -> Asked:
        """The prompt of a sample.

        Args:
            task: that the sample is of.
            sample: the question.
            spoken: subtitle lines that the model is given; None where there are none.
            templates: the processor's chat templates by name.
        """
        text = {"choice": self.choice, "grounding": self.grounding}.get(task.kind, self.question)(task, sample)
        return Asked(speech(spoken) + text, self.template if self.template in templates else None)

    def read(self, kind: str, record: SampleRecord) -> Reading:
        """What a rule reads from an answer, and whether that is right.

        Args:
            kind: of the task.
            record: an answered sample.
        """
        reader = {"choice": self.read_choice, "grounding": read_span, "word": read_word}.get(kind, read_words)
        return reader(record)

    def question(self, task: Task, sample: Sample) -> str:
        return sample.question

    def choice(self, task: Task, sample: Sample) -> str:
        if sample.details.get("yes_no"):
            return f"{sample.question}\nAnswer yes or no."
        lines = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, sample.choices, strict=False))
        return f"{sample.question}\n{lines}\nAnswer with the option's letter from the given choices directly."

    def grounding(self, task: Task, sample: Sample) -> str:
        return (
            f"During which part of the video does this happen: {sample.question}\n"
            "Answer with its start and its end in seconds, for example: 2.5 - 7.0"
        )

    def read_choice(self, record: SampleRecord) -> Reading:
        letter = find_letter(record["answer"], record["choices"])
        return Reading(letter, float(letter == record["expected"]))


class VideotgbStyle(PlainStyle):
    """The prompt behind VideoTGB's published numbers."""

    name = "videotgb"
    template = "eval"


class PllavaStyle(PlainStyle):
    """PLLaVA's three benchmark prompts; of each, the form of the model's language model."""

    name = "pllava"
    templates = {
        "choice": ("eval_mvbench", "eval_mvbench_llavanext"),
        "open": ("eval_videoqabench", "eval_videoqa_llavanext"),
        "chat": ("eval_vcgbench", "eval_vcg_llavanext"),
        "caption": ("eval_recaption", "eval_recaption_llavanext"),
    }
    opened = {"post_query_prompt": "\nOnly give the best option.", "answer_prompt": "Best option:("}

    def ask(self, task: Task, sample: Sample, spoken: Sequence[str] | None, templates: Mapping[str, str]) -> Asked:
        if task.kind not in self.templates or "eval_mvbench" not in templates:
            return super().ask(task, sample, spoken, templates)
        own_form = templates.get("default") == templates.get("plain_llavanext")
        template = self.templates[task.kind][own_form]
        if task.kind != "choice":
            return Asked(speech(spoken) + sample.question, template)
        lines = [f"({letter}) {choice}" for letter, choice in zip(LETTERS, sample.choices, strict=False)]
        text = "\n".join([f"Question: {sample.question}", "Options:", *lines]).rstrip()
        return Asked(speech(spoken) + text, template, dict(self.opened))

    def read_choice(self, record: SampleRecord) -> Reading:
        """The original's check; the prompt ends with an opening bracket, which it puts back."""
        answer = f"({record['answer']}"
        options = zip(LETTERS, record["choices"], strict=False)
        right = {letter: mvbench_is_correct(answer, f"({letter}) {choice}") for letter, choice in options}
        chosen = [letter for letter, fits in right.items() if fits]
        return Reading(chosen[0] if len(chosen) == 1 else None, float(right.get(record["expected"], False)))


class LongvuStyle(PlainStyle):
    """LongVU's four benchmarks as its scripts ask and read them; other choices as it asks MLVU's."""

    name = "longvu"
    benchmarks = {
        "mvbench": "mvbench",
        "egoschema": "egoschema",
        "egoschema_full": "egoschema",
        "videomme": "videomme",
        "videomme_subtitles": "videomme",
    }
    video_options = {
        "mvbench": {"sampling": "mvbench"},
        "egoschema": {"sampling": "half_fps_cap"},
        "egoschema_full": {"sampling": "half_fps_cap"},
        "mlvu": {"sampling": "half_fps_cap"},
        "videomme": {"sampling": "half_fps"},
        "videomme_subtitles": {"sampling": "half_fps"},
    }
    settings = {
        "mvbench": {"drop_threshold": 0.8},
        "egoschema": {"drop_threshold": 0.8},
        "egoschema_full": {"drop_threshold": 0.8},
        "mlvu": {"dino_threshold": 0.82, "drop_threshold": 0.77},
        "videomme": {"drop_threshold": 0.65},
        "videomme_subtitles": {"drop_threshold": 0.65},
    }

    def ask(self, task: Task, sample: Sample, spoken: Sequence[str] | None, templates: Mapping[str, str]) -> Asked:
        if task.kind != "choice":
            return super().ask(task, sample, spoken, templates)
        benchmark = self.benchmarks.get(task.name, "mlvu")
        if benchmark == "videomme":
            lettered = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, sample.choices, strict=False)]
            return Asked(benchmark_question(benchmark, sample.question, sample.details["options"] or lettered, spoken))
        return Asked(speech(spoken) + benchmark_question(benchmark, sample.question, sample.choices))

    def read_choice(self, record: SampleRecord) -> Reading:
        """The original's parsing; where it finds no letter, which stops the original, the answer is wrong."""
        letters = list(LETTERS[: len(record["choices"])])
        letter = read_letter(record["answer"], self.benchmarks.get(record["task"], "mlvu"), letters).letter
        return Reading(letter, float(letter == record["expected"]))


STYLES: dict[str, PlainStyle] = {
    style.name: style for style in (PlainStyle(), PllavaStyle(), LongvuStyle(), VideotgbStyle())
}


def find_style(name: str | None, model_type: str = "") -> PlainStyle:
    """A style by its name, or the one of a model's own paper.

    Raises:
        VideoLmmError: there is none of that name.
    """
    if name is None:
        return STYLES.get(model_type, STYLES["plain"])
    if name not in STYLES:
        raise VideoLmmError(f"There is no prompt style {name!r}. Styles: {', '.join(STYLES)}.")
    return STYLES[name]


def speech(spoken: Sequence[str] | None) -> str:
    """Subtitles as the prompt holds them."""
    return SUBTITLE_HEADER + "".join(f"{line}\n" for line in spoken) if spoken else ""


def find_letter(answer: str, choices: Sequence[str]) -> str | None:
    """The option that an answer names: by the letter it opens with, by a letter within, or by its words alone.

    Returns:
        None where it names none, or several.
    """
    letters = LETTERS[: len(choices)]
    text = answer.strip()
    patterns = (
        rf"^\W*([{letters}])(?:[\s.):,]|$)",
        rf"(?i:answer|option|choice)(?i: is|:)?\s*\W?([{letters}])\b",
        rf"\(([{letters}])\)",
        rf"\b([{letters}])[.):]",
    )
    # "A" opens sentences too: "A man runs" names no option by its letter.
    sentence = re.match(r"A [a-z]", text) is not None
    for pattern in patterns[1 if sentence else 0 :]:
        found = set(re.findall(pattern, text))
        if len(found) == 1:
            return found.pop()
    said = normalised(text)
    same = [letter for letter, choice in zip(letters, choices, strict=True) if normalised(choice) == said]
    if len(same) == 1:
        return same[0]
    first = said.split()[:1]
    opening = [letter for letter, choice in zip(letters, choices, strict=True) if [normalised(choice)] == first]
    held = opening or [
        letter for letter, choice in zip(letters, choices, strict=True) if f" {normalised(choice)} " in f" {said} "
    ]
    return held[0] if len(held) == 1 else None


def normalised(text: str) -> str:
    """Lower case, without punctuation and articles."""
    words = re.sub(r"[^\w\s]", " ", text.lower()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def read_word(record: SampleRecord) -> Reading:
    """One word, compared as it is but for case and outer blanks."""
    word = record["answer"].strip().lower()
    return Reading(word, float(word == str(record["expected"]).strip().lower()))


def read_words(record: SampleRecord) -> Reading:
    """The share of common words (F1) with the reference: what can be said of an open answer without a judge."""
    said, expected = normalised(record["answer"]).split(), normalised(str(record["expected"])).split()
    common = sum(min(said.count(word), expected.count(word)) for word in set(said))
    return Reading(" ".join(said), 2 * common / (len(said) + len(expected)) if common else 0.0)


def read_span(record: SampleRecord) -> Reading:
    """Start and end in seconds, "2.5 - 7", "0:02 to 0:07" or "from 2.5s until 7s"; the score is the overlap (IoU)."""
    clock = r"(\d+):(\d{2})(?::(\d{2}))?"
    text = re.sub(clock, lambda found: str(clock_seconds(found)), record["answer"])
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)[:2]]
    if len(numbers) < 2:
        return Reading(None, 0.0)
    start, end = sorted(numbers)
    return Reading([start, end], overlap((start, end), record["expected"]))


def clock_seconds(found: re.Match) -> int:
    """Seconds of "1:02" and "1:01:02"."""
    first, second, third = (int(part) if part else None for part in found.groups())
    return 60 * first + second if third is None else 3600 * first + 60 * second + third


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two spans of time."""
    common = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    union = max(one[1], other[1]) - min(one[0], other[0])
    return common / union if union > 0 else float(tuple(one) == tuple(other))
