# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the gallery shows: the samples of one run or of two side by side, with verdicts, and the filters over them.

Samples of two runs are matched by task and id. A sample's verdict is that of one judge: the one asked for, else, of
those who judged it, the one whose results the run reports, else the one who judged most.
"""

from __future__ import annotations

import os
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import VideoLmmError
from ..evaluation.records import RESULTS, RUN, SCORES, Run, SampleRecord, ScoreRecord, read_run, sample_files


CORRECT, WRONG, RATED, UNJUDGED, FAILED = VERDICTS = ("correct", "wrong", "rated", "unjudged", "failed")
# Length of questions and answers in the list of samples.
_BRIEF = 160
# What samples are filtered by and counted by. Of the latest filters the samples are kept: going from one sample to the
# next asks for them again.
_COUNTED = ("task", "subset", "verdict", "differ")
_KEPT_SELECTIONS = 8


class GalleryError(VideoLmmError):
    """A request that cannot be answered.

    Attributes:
        status: the HTTP status that says so.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """A run's answer to a sample, and all judgements of it."""

    record: SampleRecord
    scores: tuple[ScoreRecord, ...] = ()

    def judged_by(self, judge: str | None) -> list[ScoreRecord]:
        """The judgements of one judge, one per aspect."""
        return [score for score in self.scores if score["judge"] == judge]

    def verdict(self, judge: str | None) -> str:
        """One of `VERDICTS`. Right means right in every aspect; "rated" is a score that is neither right nor wrong."""
        if self.record.get("error"):
            return FAILED
        scores = self.judged_by(judge)
        decided = [score["correct"] for score in scores if score.get("correct") is not None]
        if decided:
            return CORRECT if all(decided) else WRONG
        return RATED if scores else UNJUDGED

    def score(self, judge: str | None) -> float | None:
        """The judge's score, the mean where several aspects were rated."""
        scores = [score["score"] for score in self.judged_by(judge) if score.get("score") is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def judges_disagree(self) -> bool:
        """Whether one judge calls right what another calls wrong."""
        verdicts = {self.verdict(judge) for judge in {score["judge"] for score in self.scores}}
        return {CORRECT, WRONG} <= verdicts


@dataclass(frozen=True)
class Sample:
    """A question, and what each run answered: None where it did not."""

    task: str
    id: str
    answers: tuple[Answer | None, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.task, self.id

    @property
    def given(self) -> list[Answer]:
        """The answers that there are."""
        return [answer for answer in self.answers if answer is not None]

    @property
    def record(self) -> SampleRecord:
        """What a run says of the question; runs agree on it."""
        return self.given[0].record

    @property
    def subset(self) -> str:
        return str(self.record.get("subset") or "")

    @cached_property
    def text(self) -> str:
        """All that free text is searched in, in lower case."""
        words = [self.task, self.id, self.subset]
        for answer in self.given:
            record = answer.record
            words += (record.get(name, "") for name in ("question", "prompt", "answer", "expected", "error"))
            words += (medium.get("path", "") for medium in record.get("media") or ())
            words += (score.get("reason") or "" for score in answer.scores)
        return "\n".join(map(str, words)).lower()


@dataclass(frozen=True)
class Filter:
    """Which samples to show; an empty value lets all pass.

    Attributes:
        task, subset: names, exactly.
        verdict: one of `VERDICTS`, that of at least one run.
        differ: a name out of `DIFFERENCES`.
        judge: whose verdicts count.
        q: words that must all occur, anywhere and in any case.
    """

    task: str = ""
    subset: str = ""
    verdict: str = ""
    differ: str = ""
    judge: str = ""
    q: str = ""

    def __post_init__(self) -> None:
        for name, known in (("verdict", VERDICTS), ("differ", tuple(DIFFERENCES))):
            value = getattr(self, name)
            if value and value not in known:
                raise GalleryError(f"{name} is {value!r}; choose one of {', '.join(known)}, or leave it out.")

    @classmethod
    def of(cls, parameters: Any) -> Filter:
        """From the parameters of a request, others among them."""
        return cls(**{entry.name: parameters[entry.name] for entry in fields(cls) if entry.name in parameters})


@dataclass
class Collection:
    """One run, or two to compare, as they stand on disk."""

    runs: Sequence[Run]
    samples: list[Sample] = field(init=False)
    # Judges by number of judgements, most first.
    judges: list[str] = field(init=False)

    def __post_init__(self) -> None:
        sides = [answers_of(run) for run in self.runs]
        keys = dict.fromkeys(key for side in sides for key in side)
        self.samples = [Sample(*key, tuple(side.get(key) for side in sides)) for key in keys]
        self._by_key = {sample.key: sample for sample in self.samples}
        self._judges = [judges_of(run) for run in self.runs]
        self._known_values: dict[str, list[dict[str, set[str]]]] = {}
        self._selected: dict[Filter, tuple[list[Sample], dict[str, Counter]]] = {}
        self.judges = list(dict.fromkeys(judge for names in self._judges for judge in names))

    @classmethod
    def read(cls, folders: Iterable[Path]) -> Collection:
        """Reads the runs in some folders.

        Raises:
            RecordError: a folder holds no run, or a file of it is damaged.
        """
        return cls([read_run(folder) for folder in folders])

    def check_judge(self, judge: str) -> None:
        """Refuses the name of nobody who judged; the empty name stands for the runs' own judges.

        Raises:
            GalleryError: nobody of that name judged.
        """
        if judge and judge not in self.judges:
            known = ", ".join(self.judges) or "none: the run has not been scored"
            raise GalleryError(f"There is no judge {judge!r}. Judges: {known}.", 404)

    def judge_of(self, run: int, answer: Answer | None = None, judge: str = "") -> str | None:
        """Whose verdict on an answer counts, or on most of a run; None where there is none."""
        if judge:
            return judge
        judged = {score["judge"] for score in answer.scores} if answer else set(self.judges)
        return next((name for name in self._judges[run] if name in judged), None)

    def find(self, task: str, id: str) -> Sample:
        """The sample of this task and id.

        Raises:
            GalleryError: there is none.
        """
        sample = self._by_key.get((task, id))
        if sample is None:
            raise GalleryError(f"There is no sample {id!r} of task {task!r} in this run.", 404)
        return sample

    def verdicts(self, sample: Sample, judge: str = "") -> list[str | None]:
        """One verdict per run, None where the run has no answer."""
        return [
            None if answer is None else answer.verdict(self.judge_of(run, answer, judge))
            for run, answer in enumerate(sample.answers)
        ]

    def scores(self, sample: Sample, judge: str = "") -> list[float | None]:
        """One score per run, None where there is none."""
        return [
            None if answer is None else answer.score(self.judge_of(run, answer, judge))
            for run, answer in enumerate(sample.answers)
        ]

    def select(self, chosen: Filter) -> tuple[list[Sample], dict[str, Counter]]:
        """The samples that pass, in the order of the runs, and how many would pass with other values.

        Returns:
            The samples, and for each of "task", "subset", "verdict" and "differ" the number of samples by value, all
            other filters as they are (of subsets, those of the task).
        """
        if chosen not in self._selected:
            while len(self._selected) >= _KEPT_SELECTIONS:
                self._selected.pop(next(iter(self._selected)), None)
            self._selected[chosen] = self._select(chosen)
        return self._selected[chosen]

    def _select(self, chosen: Filter) -> tuple[list[Sample], dict[str, Counter]]:
        self.check_judge(chosen.judge)
        words = chosen.q.lower().split()
        wanted = {name: getattr(chosen, name) for name in _COUNTED if getattr(chosen, name)}
        counts: dict[str, Counter] = {name: Counter() for name in _COUNTED}
        passing = []
        for sample, values in zip(self.samples, self._values(chosen.judge), strict=True):
            if words and not all(word in sample.text for word in words):
                continue
            failed = {name for name, value in wanted.items() if value not in values[name]}
            for name in _COUNTED:
                # Another task has other subsets.
                if not failed or failed <= ({name, "subset"} if name == "task" else {name}):
                    counts[name].update(values[name])
            if not failed:
                passing.append(sample)
        return passing, counts

    def _values(self, judge: str) -> list[dict[str, set[str]]]:
        """What each sample can be filtered by, found once for each judge."""
        if judge not in self._known_values:
            self._known_values[judge] = [self._values_of(sample, judge) for sample in self.samples]
        return self._known_values[judge]

    def _values_of(self, sample: Sample, judge: str) -> dict[str, set[str]]:
        verdicts, scores = self.verdicts(sample, judge), self.scores(sample, judge)
        differences = {name for name, holds in DIFFERENCES.items() if holds(sample, verdicts, scores)}
        return {
            "task": {sample.task},
            "subset": {sample.subset},
            "verdict": set(verdicts) - {None},
            "differ": differences,
        }

    def brief(self, sample: Sample, judge: str = "") -> dict[str, Any]:
        """A line of the list."""
        return {
            "task": sample.task,
            "id": sample.id,
            "subset": sample.subset,
            "question": shorten(sample.record.get("question") or sample.record.get("prompt") or ""),
            "verdicts": self.verdicts(sample, judge),
            "scores": self.scores(sample, judge),
            "answers": [answer and shorten(answer.record.get("answer") or "") for answer in sample.answers],
        }

    def summary(self, run: int) -> dict[str, Any]:
        """What is known of a whole run."""
        source = self.runs[run]
        tasks: dict[str, dict[str, None]] = {}
        for record in source.samples:
            tasks.setdefault(record["task"], {})[str(record.get("subset") or "")] = None
        return {
            "name": source.folder.resolve().name,
            "folder": str(source.folder),
            "info": source.info,
            "results": source.results,
            "judge": self.judge_of(run),
            "num_samples": len(source.samples),
            "tasks": {task: list(subsets) for task, subsets in tasks.items()},
        }


Difference = Callable[[Sample, list["str | None"], list["float | None"]], bool]
# The last six need two runs.
DIFFERENCES: dict[str, Difference] = {
    "judges": lambda sample, verdicts, scores: any(answer.judges_disagree for answer in sample.given),
    "verdict": lambda sample, verdicts, scores: len(outcomes(verdicts, scores)) > 1,
    "answer": lambda sample, verdicts, scores: len({bare(answer) for answer in sample.given}) > 1,
    "first": lambda sample, verdicts, scores: verdicts[0] == CORRECT and verdicts[-1] not in (CORRECT, None),
    "second": lambda sample, verdicts, scores: verdicts[-1] == CORRECT and verdicts[0] not in (CORRECT, None),
    "neither": lambda sample, verdicts, scores: len(verdicts) > 1 and set(verdicts) == {WRONG},
    "missing": lambda sample, verdicts, scores: None in sample.answers,
}


def answers_of(run: Run) -> dict[tuple[str, str], Answer]:
    """A run's answers by task and id.

    What is judged of a pair of questions, "7" of "7/1" and "7/2", is shown with each of them.
    """
    scores: dict[tuple[str, str], list[ScoreRecord]] = {}
    for score in run.scores:
        scores.setdefault((score["task"], score["id"]), []).append(score)
    answers = {}
    for record in run.samples:
        task, id = record["task"], record["id"]
        own = scores.get((task, id), ())
        answers[task, id] = Answer(record, tuple(own or scores.get((task, id.rpartition("/")[0]), ())))
    return answers


def judges_of(run: Run) -> list[str]:
    """Names of a run's judges: first the one whose results it reports, then by number of judgements."""
    names = [name for name, _ in Counter(score["judge"] for score in run.scores).most_common()]
    return sorted(names, key=lambda name: name != run.results.get("judge"))


def outcomes(verdicts: list[str | None], scores: list[float | None]) -> set[str | float]:
    """What the runs got for a sample: verdicts, and scores where those are all there is."""
    return {
        round(score, 6) if verdict == RATED and score is not None else verdict
        for verdict, score in zip(verdicts, scores, strict=True)
        if verdict is not None
    }


def bare(answer: Answer) -> str:
    """An answer without case, punctuation and spaces, to tell whether two are the same."""
    text = str(answer.record.get("answer") or "").lower()
    return text.translate(str.maketrans("", "", string.punctuation + string.whitespace))


def shorten(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= _BRIEF else line[: _BRIEF - 1].rstrip() + "…"


def stamp(folders: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file of a run changes."""
    found = []
    for folder in folders:
        for path in (folder / RUN, folder / SCORES, folder / RESULTS, *sample_files(folder)):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)
