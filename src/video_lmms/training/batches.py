# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The order in which a training loop of our own sees its samples."""

from collections.abc import Iterator

import torch


def batches(count: int, batch_size: int, steps: int, seed: int) -> Iterator[torch.Tensor]:
    """`steps` draws of `batch_size` numbers below `count`, each number once before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.zeros(0, dtype=torch.long)
    for _ in range(steps):
        while len(order) < batch_size:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        yield order[:batch_size]
        order = order[batch_size:]
