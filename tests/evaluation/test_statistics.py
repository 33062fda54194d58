# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Errors are what repeated experiments show."""

from __future__ import annotations

import numpy as np
import pytest

from video_lmms.evaluation.statistics import chance_text, compare, estimate


def repeated(draw, times: int = 400) -> tuple[float, float]:
    """Spread of the values of repeated experiments, and the mean error they state."""
    found = [estimate(*draw(np.random.default_rng(seed))) for seed in range(times)]
    return float(np.std([one.value for one in found])), float(np.mean([one.error for one in found]))


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("video_lmms.evaluation.statistics.RESAMPLES", 200)


def test_independent_samples_have_the_textbook_error():
    scores = [0.0, 1.0, 1.0, 1.0]
    found = estimate(scores, ["a", "b", "c", "d"])
    assert found.value == 0.75
    assert found.error == pytest.approx(np.std(scores, ddof=1) / 2)
    assert found.low <= 0.75 <= found.high
    assert estimate([1.0], ["a"]).error is None
    with pytest.raises(ValueError, match="at least one score"):
        estimate([], [])


def test_questions_on_one_video_do_not_count_as_independent():
    def draw(rng):
        videos = np.repeat(np.arange(30), 4)
        return (rng.random(30) < 0.5)[videos].astype(float), videos.astype(str)

    spread, error = repeated(draw)
    assert error == pytest.approx(spread, rel=0.1)
    scores, videos = draw(np.random.default_rng(0))
    alone = estimate(scores, [str(number) for number in range(120)])
    assert estimate(scores, videos).error > 1.8 * alone.error


def test_the_mean_of_subsets_has_its_own_error():
    def draw(rng):
        subsets = np.array(["small"] * 8 + ["large"] * 60)
        scores = rng.random(68) < np.where(subsets == "small", 0.5, 0.9)
        return scores.astype(float), np.arange(68).astype(str), subsets

    spread, error = repeated(draw)
    assert error == pytest.approx(spread, rel=0.12)
    scores, clusters, subsets = draw(np.random.default_rng(1))
    whole = estimate(scores, clusters, subsets)
    assert whole.value == pytest.approx((scores[:8].mean() + scores[8:].mean()) / 2)
    # Strata whose every sample lies in one cluster may be missing from a resample.
    assert estimate([0.0, 1.0, 1.0], ["a", "b", "b"], ["x", "y", "y"]).value == 0.5


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = estimate((rng.random(80) < 0.6).astype(float), np.arange(80).astype(str), seed=seed)
        inside += found.low <= 0.6 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_pairing_sees_what_two_separate_means_hide():
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    theirs = (hard < 0.5).astype(float)
    ours = (hard < 0.54).astype(float)
    found = compare(ours, theirs, np.arange(200).astype(str))
    assert found.estimate.value == pytest.approx(ours.mean() - theirs.mean())
    assert (found.worse, found.better) == (0, int(ours.sum() - theirs.sum()))
    assert found.estimate.error < 0.5 * estimate(ours, np.arange(200).astype(str)).error
    assert found.p_value < 0.05
    same = compare(theirs, theirs, np.arange(200).astype(str))
    assert (same.estimate.value, same.p_value, same.better) == (0.0, 1.0, 0)


def test_chance_alone_is_seldom_significant():
    significant = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        ours, theirs = (rng.random((2, 60)) < 0.5).astype(float)
        significant += compare(ours, theirs, np.arange(60).astype(str)).p_value < 0.05
    assert significant <= 12


@pytest.mark.parametrize(
    ("p_value", "text"), [(0.0002, "< 0.001"), (0.001, "0.001"), (0.2214, "0.221"), (1.0, "1.000")]
)
def test_a_chance_is_never_shown_as_none(p_value, text):
    assert chance_text(p_value) == text
