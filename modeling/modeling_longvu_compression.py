# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU's rules for what is kept: frames by DINOv2 similarity, resolution by the question, tokens by their change.

Pure functions of tensors and sizes, after https://github.com/Vision-CAIR/LongVU (Apache-2.0; paper arXiv 2410.17434).
Similarities are computed in float32 whatever the model's dtype, because they are compared with thresholds.
"""

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import torch
from torch.nn import functional as F


class Box(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right` of a grid, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def num_tokens(self) -> int:
        """Cells inside, and one newline per row."""
        return (self.bottom - self.top) * (self.right - self.left + 1)


@dataclass
class VideoSelection:
    """What was kept of one video; enough to build the same tokens again, with gradients.

    Attributes:
        frames: (kept frames,) positions among the sampled frames.
        stage: "full", "mix" or "dense".
        lowres: whether frames are at low resolution unless named in `highres_frames`.
        highres_frames: positions among the kept frames that the question raised to full resolution; None: no choice.
        scores: (kept frames,) what they were chosen by.
        keep: (kept frames, candidate tokens) True for the tokens the language model sees.
    """

    frames: torch.Tensor
    stage: str
    lowres: bool
    keep: torch.Tensor
    highres_frames: torch.Tensor | None = None
    scores: torch.Tensor | None = None

    @property
    def num_tokens(self) -> int:
        """Visual tokens of the video."""
        return int(self.keep.sum())


def crop_bounds(size: tuple[float, float], side: int) -> Box:
    """The part of a side x side grid that is not padding, by the original's rule; may be empty.

    Args:
        size: of the picture; the first entry acts as width, the second as height. Videos pass (height, width), see
            the model's text.
        side: of the grid over the padded square.
    """
    width, height = size
    # Order and truncation are the original's: they decide on which side a border of half a cell falls.
    if width / height > 1:
        scale = side / width
        padding = (side - int(height * scale)) // 2
        return Box(padding, side - padding, 0, side)
    scale = side / height
    padding = (side - int(width * scale)) // 2
    return Box(0, side, padding, side - padding)


def crop_box(size: tuple[float, float], side: int) -> Box:
    """[`crop_bounds`], or the whole grid where a very long picture leaves nothing."""
    box = crop_bounds(size, side)
    if box.top >= box.bottom or box.left >= box.right:
        return Box(0, side, 0, side)
    return box


def lowres_size(size: tuple[float, float], side: int, lowres: int) -> tuple[int, int]:
    """The size that [`crop_box`] is given for the low-resolution grid."""
    width, height = (int(edge / (side / lowres)) for edge in size)
    return width, max(1, height)  # the original divides by zero


def window_mask(size: tuple[float, float], grid: int, side: int, device: torch.device | None = None) -> torch.Tensor:
    """(side * side, window) True on patches that a cell's query may read: the picture, not its padding.

    A cell wholly in the padding reads its whole window.
    """
    box = crop_bounds(size, grid)
    inside = torch.zeros(grid, grid, dtype=torch.bool, device=device)
    inside[box.top : box.bottom, box.left : box.right] = True
    reach = grid // side
    windows = inside.view(side, reach, side, reach).transpose(1, 2).reshape(side * side, reach * reach)
    return windows | ~windows.any(-1, keepdim=True)


def resize_grid(maps: torch.Tensor, side: int) -> torch.Tensor:
    """(frames, n * n, dim) -> (frames, side * side, dim), bilinear in float32; unchanged where n is `side`."""
    tokens = maps.shape[1]
    if tokens == side * side:
        return maps
    old = round(sqrt(tokens))
    planes = maps.transpose(1, 2).unflatten(2, (old, old)).float()
    planes = F.interpolate(planes, size=(side, side), mode="bilinear", align_corners=False)
    return planes.flatten(2).transpose(1, 2).to(maps.dtype)


def add_newlines(tokens: torch.Tensor, box: Box, newline: torch.Tensor) -> torch.Tensor:
    """Crops each frame's grid to `box` and ends every row with `newline`.

    Args:
        tokens: (frames, side * side, dim).
        box: part of the grid.
        newline: (dim,).

    Returns:
        (frames, box.num_tokens, dim), row by row.
    """
    side = round(sqrt(tokens.shape[1]))
    rows = tokens.unflatten(1, (side, side))[:, box.top : box.bottom, box.left : box.right]
    ends = newline.to(rows.dtype).expand(*rows.shape[:2], 1, -1)
    return torch.cat([rows, ends], dim=2).flatten(1, 2)


def find_distinct(maps: torch.Tensor, threshold: float, window: int) -> torch.Tensor:
    """Frames that differ from the rest of their window.

    A frame's similarity is the mean cosine of its map with those of all frames of its window, itself included. The
    middle frame of a window is always kept.

    Args:
        maps: (frames, ...) whole windows; only the last may be shorter.
        threshold: frames below it are kept.
        window: frames per window.

    Returns:
        (frames,) boolean.
    """
    frames = len(maps)
    flat = maps.reshape(frames, -1).float()
    flat = F.pad(flat, (0, 0, 0, -frames % window)).unflatten(0, (-1, window))
    lengths = torch.full((len(flat), 1), window, device=maps.device)
    lengths[-1] = frames - (len(flat) - 1) * window
    norms = torch.linalg.vector_norm(flat, dim=-1).clamp_min(1e-12)
    # The mean of the cosines is the cosine with the mean: no window x window matrix is needed.
    mean = torch.einsum("wfp,wf->wp", flat, 1 / norms) / lengths
    similarity = torch.einsum("wfp,wp->wf", flat, mean) / norms
    middle = torch.arange(window, device=maps.device) == lengths // 2
    return similarity.masked_fill(middle, 0).lt(threshold).flatten()[:frames]


def cap_frames(positions: torch.Tensor, cap: int, num_frames: int, window: int) -> torch.Tensor:
    """At most `cap` of the kept positions, evenly; clips shorter than a window are never thinned."""
    if num_frames < window or len(positions) <= cap:
        return positions
    return positions[torch.arange(cap, device=positions.device) * len(positions) // cap]


def choose_stage(num_frames: int, budget: int, full_tokens: int, lowres_tokens: int) -> str:
    """What the kept frames cost against the budget, crop and newlines aside: "full", "mix" or "dense"."""
    if num_frames < max(1, budget // full_tokens):
        return "full"
    return "dense" if num_frames > max(1, budget // lowres_tokens) else "mix"


def highres_quota(num_frames: int, budget: int, full_tokens: int, lowres_tokens: int) -> int:
    """How many frames can be raised to full resolution; 0 if none.

    Args:
        num_frames: kept frames.
        budget: visual tokens at most.
        full_tokens: of a frame, crop and newlines included.
        lowres_tokens: likewise at low resolution.
    """
    room = budget - num_frames * lowres_tokens
    if room <= 0:
        return 0
    if full_tokens == lowres_tokens:
        return num_frames
    return max(0, min(num_frames, room // (full_tokens - lowres_tokens)))


def score_frames(tokens: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Mean dot product of all of a frame's tokens with all of the question's.

    Args:
        tokens: (frames, tokens, dim) at low resolution, newlines included.
        query: (text tokens, dim) embeddings of what follows the video in the prompt.

    Returns:
        (frames,) float32.
    """
    return tokens.float().mean(1) @ query.float().mean(0)


def mixed_mask(num_frames: int, highres_frames: torch.Tensor, full_tokens: int, lowres_tokens: int) -> torch.Tensor:
    """(frames, full_tokens + lowres_tokens) True on the first part of chosen frames and on the second of others."""
    chosen = torch.zeros(num_frames, 1, dtype=torch.bool, device=highres_frames.device)
    chosen[highres_frames] = True
    return torch.cat([chosen.expand(-1, full_tokens), ~chosen.expand(-1, lowres_tokens)], dim=1)


def find_changed(tokens: torch.Tensor, threshold: float, group: int) -> torch.Tensor:
    """Tokens that differ from the same place in the first frame of their group.

    Args:
        tokens: (frames, tokens, dim).
        threshold: cosine; tokens below it are kept.
        group: consecutive frames per group.

    Returns:
        (frames, tokens) boolean; a group's first frame is kept whole.
    """
    frame = torch.arange(len(tokens), device=tokens.device)
    first = frame - frame % group
    similarity = F.cosine_similarity(tokens.float(), tokens[first].float(), dim=-1, eps=1e-8)
    return (similarity < threshold) | (frame == first).unsqueeze(1)


def trim(keep: torch.Tensor, budget: int, group: int) -> torch.Tensor:
    """Takes the same number of tokens from the end of every group until the budget holds, then cuts the rest.

    Args:
        keep: (frames, tokens) boolean.
        budget: tokens at most.
        group: consecutive frames per group.
    """
    total = int(keep.sum())
    if total <= budget:
        return keep
    frames, tokens = keep.shape
    grouped = F.pad(keep, (0, 0, 0, -frames % group)).reshape(-1, group * tokens)
    surplus = -(-(total - budget) // len(grouped))
    place_from_end = grouped.flip(-1).cumsum(-1).flip(-1)
    kept = (grouped & (place_from_end > surplus)).reshape(-1, tokens)[:frames]
    return kept & (kept.flatten().cumsum(0).view_as(kept) <= budget)


def fit_budget(tokens: torch.Tensor, budget: int, threshold: float, group: int) -> torch.Tensor:
    """Which tokens of (frames, tokens, dim) stay: all that fit, else those that changed, trimmed: (frames, tokens)."""
    if tokens.shape[0] * tokens.shape[1] <= budget:
        return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    return trim(find_changed(tokens, threshold, group), budget, group)


__all__ = [
    "Box",
    "VideoSelection",
    "add_newlines",
    "cap_frames",
    "choose_stage",
    "crop_bounds",
    "crop_box",
    "find_changed",
    "find_distinct",
    "fit_budget",
    "highres_quota",
    "lowres_size",
    "mixed_mask",
    "resize_grid",
    "score_frames",
    "trim",
    "window_mask",
]
