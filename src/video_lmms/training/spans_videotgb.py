# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Spans of VideoTGB's sampler training: where they come from, how they move between rates, how they are scored.

After https://github.com/bigai-nlco/VideoTGB; a span is (first, last), both included. One difference: the original
divides a score by the number of answers beside it, which no choice of a maximum notices; here it is the recall itself.
"""

from collections.abc import Sequence

import torch


IGNORED_TOKENS = (",", ".")


def unigram_recall(gold: str, prediction: str) -> float:
    """Share of the right answer's words that the prediction holds: what a frame is worth for a question.

    Words are what whitespace separates; "," and "." on their own do not count.
    """
    words = [word for word in gold.split() if word not in IGNORED_TOKENS]
    said = set(prediction.split())
    return sum(word in said for word in words) / max(len(words), 1)


def label_span(scores: Sequence[float], subtract_minimum: bool = False) -> tuple[int, int]:
    """The span under the largest rectangle that fits below a curve of scores per frame.

    Args:
        scores: one per frame, not negative.
        subtract_minimum: the BLIP-2 form; the InstructBLIP form leaves scores as they are.

    Returns:
        (first, last). Of equally large rectangles the one that ends first; all frames where every score is zero.
    """
    heights = torch.as_tensor(scores, dtype=torch.float64)
    if subtract_minimum:
        heights = heights - heights.min()
    if not heights.any():
        return 0, len(heights) - 1
    places = torch.arange(len(heights))
    widths = places - places.unsqueeze(1) + 1  # [first, last]
    lowest = heights.expand(len(heights), -1).masked_fill(widths < 1, torch.inf).cummin(1).values
    areas = (lowest * widths).masked_fill(widths < 1, 0)
    firsts, lasts = (areas == areas.max()).nonzero().unbind(1)
    last = lasts.min()
    return int(firsts[lasts == last].max()), int(last)


def rescale(frame: int, num_frames: int, length: int) -> int:
    """The flow frame, of `length`, that corresponds to a frame of `num_frames`: rounded down, ends on ends."""
    return int(frame / (num_frames - 1) * (length - 1))


def thin_out(length: int, most: int = 64) -> list[int]:
    """Flow frames that are kept of a long clip: the middles of `most` equal parts; all of a short one."""
    if length <= most:
        return list(range(length))
    edges = torch.linspace(0, length, most + 1, dtype=torch.float64).floor().long()
    return ((edges[:-1] + edges[1:] - 1) // 2).tolist()


def span_overlaps(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Intersection over union of spans, in frames.

    Args:
        predicted: (n, 2), first and last frame.
        target: (n, 2).

    Returns:
        (n,); 0 where spans share one frame or none, or one of them ends before it begins.
    """
    firsts, lasts = torch.stack([predicted, target]).unbind(-1)
    shared = lasts.amin(0) - firsts.amax(0)
    return (shared + 1) * (shared > 0) / (lasts.amax(0) - firsts.amin(0) + 1)


def span_metrics(predicted: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    """Mean overlap, and the share of spans with an overlap of at least 0.3 and 0.5; see [`span_overlaps`]."""
    overlaps = span_overlaps(predicted, target)
    return {
        "miou": float(overlaps.mean()),
        "r03": float((overlaps >= 0.3).float().mean()),
        "r05": float((overlaps >= 0.5).float().mean()),
    }
