# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""From answers to results: a run is judged, summed up and compared, without its model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .judges import HIGHEST, RATED, RULES, Rater, all_requests, score_by_rules, to_score
from .prompts import STYLES
from .records import (
    RESULTS,
    SCORES,
    JsonLines,
    RecordError,
    Run,
    SampleRecord,
    ScoreRecord,
    read_run,
    read_scores,
    write_object,
    write_text,
)
from .statistics import Difference, chance_text, compare, estimate
from .tasks import TASKS, Task
from .tasks.base import LETTERS


# Overlaps in time that count as found.
RECALLS = (0.3, 0.5, 0.7)
Key = tuple[str, str, str]


def score_run(
    folder: Path, rater: Rater | None = None, again: bool = False, advance: Callable[[int], None] = lambda steps: None
) -> dict[str, Any]:
    """Judges a run and writes `scores.jsonl`, `results.json`, `results.md` and `evaluation.json`.

    Args:
        folder: of the run.
        rater: judges open questions; None leaves them to the rules.
        again: ask the rater about samples that it has judged before, too.
        advance: called with the number of new judgements.

    Returns:
        what `results.json` holds.
    """
    run = read_run(folder)
    by_rules = score_by_rules(run.samples)
    others = [score for score in run.scores if score["judge"] != RULES]
    write_text(folder / SCORES, "".join(json.dumps(score, ensure_ascii=False) + "\n" for score in others + by_rules))
    if rater is not None:
        ask_rater(folder, run.samples, rater, again, advance)
    return write_results(folder, RULES if rater is None else rater.name)


def unjudged(folder: Path, records: Sequence[SampleRecord], judge: str, again: bool) -> list:
    """What a rater has not judged yet: (request, whether there is an answer)."""
    known = set()
    if not again:
        known = {(score["task"], score["id"], score.get("aspect", "")) for score in read_scores(folder, judge)}
    return [pair for pair in all_requests(records) if pair[0].key not in known]


def ask_rater(
    folder: Path, records: Sequence[SampleRecord], rater: Rater, again: bool, advance: Callable[[int], None]
) -> None:
    """Appends a rater's judgements as they come."""
    wanted = unjudged(folder, records, rater.name, again)
    asked = [request for request, answered in wanted if answered]
    with JsonLines(folder / SCORES) as file:
        for request, answered in wanted:
            if not answered:
                file.append(to_score(request, None, rater.name))
                advance(1)
        for number, rating in rater.rate([request.messages for request in asked]):
            file.append(to_score(asked[number], rating, rater.name) | {"judge_model": rating.model})
            advance(1)


def judge_of(task: Task, judge: str) -> str:
    """Who judges a task: a rater judges open questions alone."""
    return judge if task.kind in RATED else RULES


def write_results(folder: Path, judge: str) -> dict[str, Any]:
    """Sums a judged run up.

    Raises:
        RecordError: the judge has judged nothing of a task.
    """
    run = read_run(folder)
    tasks = {name: summarize(TASKS[name], run, judge) for name in run.info["tasks"]}
    results = {"judge": judge, "tasks": tasks}
    if judge != RULES:
        models = sorted({score["judge_model"] for score in read_scores(folder, judge) if "judge_model" in score})
        results |= {"judge_models": models, "judge_prompts": dict(RATED)}
    write_object(folder / RESULTS, results)
    write_text(folder / "results.md", markdown(run.info, results))
    write_object(folder / "evaluation.json", card_results(results))
    write_submissions(run)
    return results


def write_submissions(run: Run) -> None:
    """For tasks whose authors keep answers: what their servers take, each question with the number of its option."""
    kept = dict.fromkeys(record["task"] for record in run.samples if record["expected"] is None)
    for name in kept:
        records = [record for record in run.samples if record["task"] == name]
        options = [STYLES[record["versions"]["prompt"].split("/")[0]].read_choice(record).parsed for record in records]
        # A question whose answer names no option is answered by the first: the servers take no gaps.
        rows = [
            f"{record['id']},{LETTERS.index(option or LETTERS[0])}"
            for record, option in zip(records, options, strict=True)
        ]
        write_text(run.folder / f"submission_{name}.csv", "\n".join(["q_uid,answer", *rows]) + "\n")


def summarize(task: Task, run: Run, judge: str) -> dict[str, Any]:
    """One task's entry of `results.json`."""
    records = {record["id"]: record for record in run.samples if record["task"] == task.name}
    scores = scores_of(task, run, judge)
    unit, metric, values = measured(task, judge, scores)
    clusters = [cluster_of(records, score) for score in scores]
    subsets = [score["subset"] for score in scores]
    whole = estimate(values, clusters, subsets if task.mean_over == "subsets" else None)
    parts = {
        name: [place for place, subset in enumerate(subsets) if subset == name] for name in dict.fromkeys(subsets)
    }
    broken = {
        name: as_entry(estimate([values[place] for place in places], [clusters[place] for place in places]))
        for name, places in parts.items()
        if name
    }
    return {
        "title": task.title,
        "version": task.version,
        "metric": metric,
        "unit": unit,
        **as_entry(whole),
        "subsets": broken,
        "others": other_metrics(task, judge, scores),
        "answered": len(records),
        "unreadable": sum("error" in record for record in records.values()),
    }


def scores_of(task: Task, run: Run, judge: str) -> list[ScoreRecord]:
    """A task's scores by its judge.

    Raises:
        RecordError: there are none.
    """
    judge = judge_of(task, judge)
    scores = [score for score in run.scores if score["task"] == task.name and score["judge"] == judge]
    if not scores:
        raise RecordError(f"{run.folder}: {judge} has judged no sample of {task.name}.")
    return scores


def cluster_of(records: dict[str, SampleRecord], score: ScoreRecord) -> str:
    """The video that a score is about."""
    record = records.get(score["id"]) or records[f"{score['id']}/1"]  # the first question of a pair
    return record["media"][0]["path"]


def measured(task: Task, judge: str, scores: Sequence[ScoreRecord]) -> tuple[str, str, list[float]]:
    """Unit, name and values of a task's first metric."""
    if task.kind == "chat" and judge != RULES:
        return f"of {HIGHEST}", "mean rating", [score["score"] for score in scores]
    if task.kind in ("chat", "open") and judge == RULES:
        return "%", "words shared with the reference (F1)", [100 * score["score"] for score in scores]
    if task.kind == "grounding":
        return "%", "mIoU", [100 * score["score"] for score in scores]
    return "%", "accuracy", [100.0 * score["correct"] for score in scores]


def other_metrics(task: Task, judge: str, scores: Sequence[ScoreRecord]) -> dict[str, float]:
    """Further metrics that papers report."""
    if task.kind == "grounding":
        return {f"R@1, IoU {bound}": 100 * mean(score["score"] >= bound for score in scores) for bound in RECALLS}
    if judge == RULES or task.kind not in RATED:
        return {}
    if task.kind == "open":
        return {"mean rating": mean(score["score"] for score in scores)}
    aspects = dict.fromkeys(score["aspect"] for score in scores)
    ratings = {aspect: mean(score["score"] for score in scores if score["aspect"] == aspect) for aspect in aspects}
    return {
        **ratings,
        "mean of aspects": mean(ratings.values()),
        "rated above 3 (%)": 100 * mean(score["correct"] for score in scores),
    }


def mean(values: Iterable[float]) -> float:
    found = [float(value) for value in values]
    return sum(found) / len(found)


def as_entry(found: Any) -> dict[str, Any]:
    return {"value": found.value, "error": found.error, "interval": [found.low, found.high], "n": found.n}


def shown(entry: dict[str, Any]) -> str:
    """ "61.3 ± 1.2"."""
    return f"{entry['value']:.1f}" + ("" if entry["error"] is None else f" ± {entry['error']:.1f}")


def markdown(info: dict[str, Any], results: dict[str, Any]) -> str:
    """Results as tables: all tasks, then each by its subsets."""
    lines = [f"Model: {info['model']}. Judge of open questions: {results['judge']}.", ""]
    lines += ["| task | metric | value | 95 % interval | n |", "| --- | --- | --- | --- | --- |"]
    for entry in results["tasks"].values():
        low, high = entry["interval"]
        name = f"{entry['metric']} ({entry['unit']})"
        lines.append(f"| {entry['title']} | {name} | {shown(entry)} | {low:.1f} to {high:.1f} | {entry['n']} |")
        lines += [f"| | {other} | {value:.2f} | | |" for other, value in entry["others"].items()]
    for entry in results["tasks"].values():
        if entry["subsets"]:
            lines += ["", f"| {entry['title']} | {entry['metric']} ({entry['unit']}) | n |", "| --- | --- | --- |"]
            lines += [f"| {name} | {shown(part)} | {part['n']} |" for name, part in entry["subsets"].items()]
    return "\n".join(lines) + "\n"


def card_results(results: dict[str, Any]) -> dict[str, Any]:
    """Results as `evaluation.json` of a model's folder, from which `publish` writes them into its card."""
    task = "video question answering"
    rows = [
        {"task": task, "dataset": entry["title"], "metric": entry["metric"], "value": round(entry["value"], 2)}
        for entry in results["tasks"].values()
    ]
    return {"judge": results["judge"], "results": rows}


def compare_runs(first: Path, second: Path, judge: str | None = None) -> dict[str, Difference]:
    """How much better the first run is than the second, task by task, on the samples that both have.

    Args:
        first: folder of a judged run.
        second: folder of the other.
        judge: whose scores; None for the judge of the first run's results.

    Raises:
        RecordError: they share no task, no sample, or no judge.
    """
    ours, theirs = read_run(first), read_run(second)
    judge = judge or ours.results.get("judge", RULES)
    shared = [name for name in ours.info["tasks"] if name in theirs.info["tasks"]]
    if not shared:
        raise RecordError(f"{first} and {second} have no task in common.")
    return {name: compare_task(TASKS[name], ours, theirs, judge) for name in shared}


def compare_task(task: Task, ours: Run, theirs: Run, judge: str) -> Difference:
    """The paired difference of two runs on one task."""
    values = []
    for run in (ours, theirs):
        scores = scores_of(task, run, judge)
        points = measured(task, judge, scores)[2]
        values.append(
            {(score["id"], score.get("aspect", "")): point for score, point in zip(scores, points, strict=True)}
        )
    records = {record["id"]: record for record in ours.samples if record["task"] == task.name}
    scores = [score for score in scores_of(task, ours, judge) if (score["id"], score.get("aspect", "")) in values[1]]
    if not scores:
        raise RecordError(f"{ours.folder} and {theirs.folder} have no sample of {task.name} in common.")
    keys = [(score["id"], score.get("aspect", "")) for score in scores]
    return compare(
        [values[0][key] for key in keys],
        [values[1][key] for key in keys],
        [cluster_of(records, score) for score in scores],
        [score["subset"] for score in scores] if task.mean_over == "subsets" else None,
    )


def comparison_table(first: str, second: str, differences: dict[str, Difference]) -> str:
    """The comparison in Markdown."""
    lines = [
        f"First: {first}. Second: {second}. Positive differences speak for the first.",
        "",
        "| task | difference | 95 % interval | p | better | worse | n |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in differences.items():
        mean_of = found.estimate
        error = "" if mean_of.error is None else f" ± {mean_of.error:.1f}"
        lines.append(
            f"| {TASKS[name].title} | {mean_of.value:+.1f}{error} | {mean_of.low:+.1f} to {mean_of.high:+.1f} "
            f"| {chance_text(found.p_value)} | {found.better} | {found.worse} | {mean_of.n} |"
        )
    return "\n".join(lines) + "\n"
