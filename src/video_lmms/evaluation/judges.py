# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Who says whether an answer is right: a rule, or a language model that reads question, reference and answer.

| judge | what it is |
| --- | --- |
| `rules` | letters, words and spans as the papers read them; of open answers, the words shared with the reference |
| `openai:MODEL` | an endpoint that speaks OpenAI's protocol; MODEL is sent, and what answers is recorded |
| `local:FOLDER` | a language model through transformers, on this machine |

A rater judges open questions (right or wrong, 0 to 5) and the five aspects of VCG (0 to 5); everything else is judged
by rules whatever the judge. What cannot be parsed counts as wrong and 0, as in the originals.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..errors import VideoLmmError
from .prompts import STYLES
from .records import SampleRecord, ScoreRecord
from .tasks import TASKS


RULES = "rules"
# Kinds of tasks that a rater judges, with the version of what it is asked.
RATED = {"open": "qa/1", "chat": "vcg/1"}
# More than this counts as accurate where the originals turn a rating into a share.
ACCURATE = 3
# What a rating may be.
HIGHEST = 5
# Characters of an English token, roughly; for the estimate of what a judge costs.
CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 20


class JudgeError(VideoLmmError):
    """A judge that cannot be asked."""


class Rating(NamedTuple):
    """What a rater said: the text, and which model said it."""

    text: str
    model: str


class Rater(Protocol):
    """A language model that is asked for ratings."""

    name: str

    def rate(self, conversations: Sequence[list[dict[str, str]]]) -> Iterator[tuple[int, Rating]]:
        """Answers to conversations (chat messages), each with its number, in any order."""


@dataclass(frozen=True)
class Request:
    """One thing a rater is asked: about a sample, and for two questions of one video about both."""

    task: str
    id: str
    subset: str
    aspect: str
    messages: list[dict[str, str]] = field(hash=False)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.task, self.id, self.aspect


ASPECTS = {
    "correctness": (
        "whether the information in the answer is correct",
        (
            "Compare what the answer states with the reference: nothing in it may contradict or distort the video.",
            "An answer need not say everything, but what it says has to be right.",
        ),
    ),
    "detail": (
        "how detailed the answer is",
        (
            "Check that the answer covers all main points of the reference.",
            "Check that it is specific: particulars of this video, not statements that fit any video.",
        ),
    ),
    "context": (
        "how well the answer understands the context of the video",
        (
            "Check that the answer fits what the video as a whole is about, and misses no main theme.",
            "Statements that are right in themselves and lie beside the point count against it.",
        ),
    ),
    "temporal": (
        "how well the answer understands the order of events in time",
        (
            "Check that events come in the order in which the reference has them.",
            "An event that is told at the wrong time counts as wrong.",
        ),
    ),
    "consistency": (
        "how consistent two answers to similar questions about one video are",
        (
            "Compare both answers with each other and with the reference.",
            "Answers that contradict each other are inconsistent even if one of them is right.",
        ),
    ),
}


def aspect_messages(aspect: str, questions: Sequence[str], reference: str, answers: Sequence[str]) -> list[dict]:
    """What a rater is asked about one of VCG's aspects; the two questions of a consistency row go together."""
    goal, checks = ASPECTS[aspect]
    rules = "\n".join(f"- {check}" for check in (*checks, "Synonyms and paraphrases of the reference are valid."))
    system = (
        "You evaluate answers that a model gives to questions about videos. You are given each question, a reference "
        f"answer and the model's answer, and rate {goal}.\n\nInstructions:\n{rules}\n- Give one score."
    )
    numbers = [""] if len(questions) == 1 else [" 1", " 2"]
    lines = [f"Question{number}: {question}" for number, question in zip(numbers, questions, strict=True)]
    lines.append(f"Reference answer: {reference}")
    lines += [f"Model's answer{number}: {answer}" for number, answer in zip(numbers, answers, strict=True)]
    user = "\n".join(lines) + (
        f"\n\nRate {goal} as an integer from 0 to 5, 5 being the best. Reply with a Python dictionary and nothing "
        "else, such as {'score': 4}."
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def answer_messages(question: str, reference: str, answer: str) -> list[dict]:
    """What a rater is asked about a short open answer."""
    system = (
        "You check answers to questions about videos. Decide whether the model's answer means the same as the "
        "correct answer.\n\nInstructions:\n- What counts is the meaning; synonyms and paraphrases are valid.\n"
        "- An answer that contains the correct one and does not contradict it is right."
    )
    user = (
        f"Question: {question}\nCorrect answer: {reference}\nModel's answer: {answer}\n\n"
        "Say 'yes' or 'no', and how well the answers match as an integer from 0 to 5, 5 being the best. Reply with a "
        "Python dictionary and nothing else, such as {'pred': 'yes', 'score': 4}."
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def parse_reply(reply: str) -> dict[str, Any] | None:
    """The dictionary that a rater replied with, as a literal and never as code; None where there is none."""
    try:
        content = ast.literal_eval(reply.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def parse_score(reply: str) -> int | None:
    """A rating from 0 to 5 as the originals read it; None where the reply is none, which counts as 0."""
    content = parse_reply(reply)
    score = None if content is None else content.get("score")
    if isinstance(score, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*", score):
        score = float(score)
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= HIGHEST:
        return None
    return int(score)


def parse_verdict(reply: str) -> bool:
    """Whether a rater found a short answer right: "yes" within what it gives as `pred`."""
    content = parse_reply(reply)
    return content is not None and "yes" in str(content.get("pred", "")).lower()


def score_by_rules(records: Iterable[SampleRecord]) -> list[ScoreRecord]:
    """One score per sample whose answer is known: 0 or 1, an overlap in time, or the share of common words."""
    scores = []
    for record in records:
        if record["expected"] is None:
            continue
        kind = TASKS[record["task"]].kind
        parsed, score = STYLES[record["versions"]["prompt"].split("/")[0]].read(kind, record)
        entry: ScoreRecord = {
            "task": record["task"],
            "id": record["id"],
            "subset": record["subset"],
            "judge": RULES,
            "score": 0.0 if record.get("error") else score,
            "correct": score == 1.0 and not record.get("error"),
            "reason": record.get("error") or f"read as {parsed!r}",
        }
        scores.append(entry)
    return scores


def requests_of(records: Sequence[SampleRecord]) -> list[Request]:
    """What a rater has to be asked about a run; nothing about empty answers, which count as 0."""
    return [request for request, answered in all_requests(records) if answered]


def all_requests(records: Sequence[SampleRecord]) -> Iterator[tuple[Request, bool]]:
    """Every judgement that open questions need, and whether there is an answer to judge."""
    pairs: dict[tuple[str, str], list[SampleRecord]] = {}
    for record in records:
        if TASKS[record["task"]].kind in RATED:
            pairs.setdefault((record["task"], record["details"].get("pair", record["id"])), []).append(record)
    for (task, name), members in pairs.items():
        questions, answers = [member["question"] for member in members], [member["answer"] for member in members]
        whole = all(answer.strip() for answer in answers) and len(members) == 1 + ("pair" in members[0]["details"])
        reference, subset = members[0]["expected"], members[0]["subset"]
        if TASKS[task].kind == "open":
            yield Request(task, name, subset, "", answer_messages(questions[0], reference, answers[0])), whole
            continue
        for aspect in members[0]["details"]["aspects"]:
            yield Request(task, name, subset, aspect, aspect_messages(aspect, questions, reference, answers)), whole


def to_score(request: Request, rating: Rating | None, judge: str) -> ScoreRecord:
    """A rater's reply as a score; None stands for an answer that there was nothing to judge in."""
    score = None if rating is None else parse_score(rating.text)
    entry: ScoreRecord = {
        "task": request.task,
        "id": request.id,
        "subset": request.subset,
        "judge": judge,
        "score": score or 0,
        "reason": "no answer" if rating is None else rating.text,
    }
    if request.aspect:
        return entry | {"aspect": request.aspect, "correct": (score or 0) > ACCURATE}
    return entry | {"correct": rating is not None and parse_verdict(rating.text)}


def estimate_cost(requests: Sequence[Request], price: tuple[float, float] | None) -> dict[str, float]:
    """About how many tokens a rater will read and write, and what that costs.

    Args:
        requests: what it will be asked.
        price: per million tokens read and written; None where it is unknown or nothing.
    """
    read = sum(len(message["content"]) for request in requests for message in request.messages) / CHARACTERS_PER_TOKEN
    written = ANSWER_TOKENS * len(requests)
    cost = {"requests": len(requests), "tokens_read": round(read), "tokens_written": written}
    if price is not None:
        cost["cost"] = (read * price[0] + written * price[1]) / 1e6
    return cost


__all__ = [
    "RULES",
    "JudgeError",
    "Rater",
    "Rating",
    "Request",
    "estimate_cost",
    "parse_score",
    "parse_verdict",
    "requests_of",
    "score_by_rules",
    "to_score",
]
