# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Training RAFT on frame pairs whose motion is known, as the paper does: every update is held against the truth."""

import numpy as np
import torch
from torch.nn import functional as F

from video_lmms.modeling.modeling_raft import STRIDE, VideotgbFlowModel
from video_lmms.training.batches import batches


# Of the paper: how much less an earlier update counts than the one after it.
DISCOUNT = 0.8


def sequence_loss(flows: list[torch.Tensor], truth: torch.Tensor) -> torch.Tensor:
    """Error of all updates, (n, 2, H, W) each, later ones counting more.

    Two things differ from the paper, whose scenes move everywhere. What moves counts as much as what rests: where
    things are small, a model that sees no motion is nearly right. And errors below one place of the feature maps count
    by their square: with the plain absolute error, resting pixels silence the flow head before it has seen any motion.
    """
    moves = truth.norm(dim=1) > 0
    loss = truth.new_zeros(())
    for number, flow in enumerate(flows):
        error = F.smooth_l1_loss(flow, truth, beta=STRIDE, reduction="none").mean(1)
        balanced = (error * moves).sum() / moves.sum().clamp(min=1) + (error * ~moves).sum() / (~moves).sum()
        loss = loss + DISCOUNT ** (len(flows) - 1 - number) * balanced
    return loss


def train_raft(
    model: VideotgbFlowModel,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    steps: int,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> list[float]:
    """Trains all weights in place.

    Args:
        model: sees pixels from 0 to 255.
        pairs: first frames, second frames, flow; see `video_lmms.data.motion.flow_pairs`.
        steps: optimiser steps; the learning rate rises for a tenth of them and falls to zero (one cycle).
        batch_size: pairs per step.
        learning_rate: at its highest.
        seed: of the order of pairs.

    Returns:
        The loss of every step.
    """
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    losses = []
    for rows in batches(len(pairs[0]), batch_size, steps, seed):
        first, second, truth = (torch.from_numpy(part[rows.numpy()]).float() for part in pairs)
        loss = sequence_loss(model.estimate(first, second, every_update=True), truth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def endpoint_error(
    model: VideotgbFlowModel, pairs: tuple[np.ndarray, np.ndarray, np.ndarray], batch_size: int = 64
) -> dict[str, float]:
    """Mean distance in pixels between flow and truth, where something moves and where nothing does.

    `moving_at_zero` is what a model without any motion would get where something moves.
    """
    moving, resting, lengths = [], [], []
    for start in range(0, len(pairs[0]), batch_size):
        first, second, truth = (torch.from_numpy(part[start : start + batch_size]).float() for part in pairs)
        distance = (model(first, second) - truth).norm(dim=1)
        length = truth.norm(dim=1)
        moving.append(distance[length > 0])
        resting.append(distance[length == 0])
        lengths.append(length[length > 0])
    parts = {"moving": moving, "resting": resting, "moving_at_zero": lengths}
    return {name: float(torch.cat(part).mean()) for name, part in parts.items()}
