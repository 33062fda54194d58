# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Means with their errors, and the difference of two runs on the same samples.

Questions about one video are not independent of each other, so errors are taken over videos, not over questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


RESAMPLES = 2000
PERMUTATIONS = 5000


@dataclass(frozen=True)
class Estimate:
    """A mean.

    Attributes:
        value: of the scores.
        error: standard error over clusters; None with fewer than two clusters.
        low: 2.5 % of the bootstrap means lie below.
        high: 2.5 % lie above.
        n: number of scores.
    """

    value: float
    error: float | None
    low: float
    high: float
    n: int

    def scaled(self, factor: float) -> Estimate:
        error = None if self.error is None else self.error * factor
        return Estimate(self.value * factor, error, self.low * factor, self.high * factor, self.n)


@dataclass(frozen=True)
class Difference:
    """How much better one run is than another, on the samples both answered.

    Attributes:
        estimate: of the difference of scores.
        p_value: how often a difference as large arises where runs are exchanged at random, video by video.
        better: samples with a higher score.
        worse: samples with a lower score.
    """

    estimate: Estimate
    p_value: float
    better: int
    worse: int


def chance_text(p_value: float) -> str:
    """A p value for a table: three digits, and never a zero that no number of permutations can show."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def estimate(
    scores: Sequence[float],
    clusters: Sequence[str],
    strata: Sequence[str] | None = None,
    seed: int = 0,
) -> Estimate:
    """Mean of scores, or mean of the strata's means.

    Args:
        scores: one per sample.
        clusters: what each sample shares with others, such as its video.
        strata: sub-tasks whose means are averaged; None for the plain mean.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no scores.
    """
    if not len(scores):
        raise ValueError("a mean needs at least one score.")
    values = np.asarray(scores, dtype=float)
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    names, stratum = np.unique(np.asarray(strata if strata is not None else [""] * len(values)), return_inverse=True)
    sizes = np.bincount(stratum)
    means = np.bincount(stratum, weights=values) / sizes
    weights = 1.0 / (len(names) * sizes[stratum])
    count = cluster.max() + 1
    pulls = np.bincount(cluster, weights=weights * (values - means[stratum]), minlength=count)
    error = float(np.sqrt((pulls**2).sum() * count / (count - 1))) if count > 1 else None
    low, high = bootstrap(values, cluster, stratum, seed)
    return Estimate(float(means.mean()), error, low, high, len(values))


def bootstrap(values: np.ndarray, cluster: np.ndarray, stratum: np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean of the strata's means, clusters drawn with replacement."""
    shape = cluster.max() + 1, stratum.max() + 1
    sums, sizes = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (cluster, stratum), values)
    np.add.at(sizes, (cluster, stratum), 1.0)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(shape[0], np.full(shape[0], 1 / shape[0]), size=RESAMPLES).astype(float)
    total, seen = drawn @ sums, drawn @ sizes
    # A stratum of which nothing was drawn does not count in that resample.
    means = np.divide(total, seen, out=np.full_like(total, np.nan), where=seen > 0)
    low, high = np.nanpercentile(np.nanmean(means, axis=1), [2.5, 97.5])
    return float(low), float(high)


def compare(
    ours: Sequence[float], theirs: Sequence[float], clusters: Sequence[str], strata: Sequence[str] | None = None
) -> Difference:
    """The paired difference of two runs.

    Args:
        ours: scores of one run.
        theirs: scores of the other, of the same samples in the same order.
        clusters: see [`estimate`].
        strata: see [`estimate`].
    """
    differences = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    found = estimate(differences, clusters, strata)
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    names, stratum = np.unique(
        np.asarray(strata if strata is not None else [""] * len(differences)), return_inverse=True
    )
    weights = 1.0 / (len(names) * np.bincount(stratum)[stratum])
    shares = np.bincount(cluster, weights=weights * differences)
    signs = np.random.default_rng(0).integers(0, 2, size=(PERMUTATIONS, len(shares))) * 2 - 1
    extreme = np.abs(signs @ shares) >= abs(shares.sum()) - 1e-12
    p_value = float((extreme.sum() + 1) / (PERMUTATIONS + 1))
    return Difference(found, p_value, int((differences > 0).sum()), int((differences < 0).sum()))
