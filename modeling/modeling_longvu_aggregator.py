# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU's Spatial Vision Aggregator: queries on a small grid read windows of both towers' maps.

After https://github.com/Vision-CAIR/LongVU (Apache-2.0), which has it from Cambrian-1 (arXiv 2406.16860). Every frame
and every window is independent of the others, so all of them are one batch.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_longvu import LongvuConfig


NUM_TOWERS = 2


class LongvuTowerProjector(nn.Module):
    """Brings one tower's features to the aggregator's width."""

    def __init__(self, tower_dim: int, dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(tower_dim, dim)
        self.linear_2 = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(frames, patches, tower dim) -> (frames, patches, dim)."""
        return self.norm(self.linear_2(F.gelu(self.linear_1(features))))


class LongvuMultiModalProjector(nn.Module):
    """Two linear layers from the aggregator's width to the language model's."""

    def __init__(self, config: LongvuConfig):
        super().__init__()
        dim = config.text_config.hidden_size
        self.linear_1 = nn.Linear(config.vision_hidden_size, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, grids: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.gelu(self.linear_1(grids)))


class LongvuAggregatorMLP(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(dim, dim, bias=False)
        self.linear_2 = nn.Linear(dim, dim, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.gelu(self.linear_1(hidden)))


class LongvuAggregatorLayer(GradientCheckpointingLayer):
    """One layer: each query attends to the window of both towers at its place of the frame."""

    def __init__(self, config: LongvuConfig):
        super().__init__()
        dim = config.vision_hidden_size
        window = (config.grid_size // config.token_side) ** 2
        self.num_heads = config.aggregator_heads
        self.context_proj = nn.Linear(dim, dim, bias=False)
        self.in_proj = nn.Linear(2 * dim, dim, bias=False)
        # A window of one token has no inner position.
        positions = NUM_TOWERS if window > 1 else 0
        self.window_position = nn.ParameterList(nn.Parameter(torch.zeros(window, dim)) for _ in range(positions))
        self.q_norm = nn.LayerNorm(dim)
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.k_norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(NUM_TOWERS))
        self.k_projs = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(NUM_TOWERS))
        self.v_norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(NUM_TOWERS))
        self.v_projs = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(NUM_TOWERS))
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.mlp = LongvuAggregatorMLP(dim)

    def forward(
        self, queries: torch.Tensor, context: torch.Tensor, mask: torch.Tensor, *windows: torch.Tensor
    ) -> torch.Tensor:
        """One step of the queries.

        Args:
            queries: (frames, cells, dim).
            context: (frames, dim), the mean of the first tower's map.
            mask: (frames or 1, cells, window), True where attended; shared by the towers.
            windows: per tower (frames, cells, window, dim). Not a list: checkpointing finds no tensors inside of one.
        """
        context = self.context_proj(context).unsqueeze(1).expand_as(queries)
        hidden = self.in_proj(torch.cat([queries, context], dim=-1))
        if len(self.window_position):
            windows = [window + position for window, position in zip(windows, self.window_position, strict=True)]
        # There is no skip around this sum: the only one spans the whole layer.
        hidden = self.norm(hidden + self.attend(hidden, windows, mask))
        return queries + self.mlp(hidden)

    def attend(self, hidden: torch.Tensor, windows: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        frames, cells, dim = hidden.shape
        keys = [proj(norm(part)) for proj, norm, part in zip(self.k_projs, self.k_norms, windows, strict=True)]
        values = [proj(norm(part)) for proj, norm, part in zip(self.v_projs, self.v_norms, windows, strict=True)]
        query, key, value = (
            part.reshape(frames * cells, -1, self.num_heads, dim // self.num_heads).transpose(1, 2)
            for part in (self.q_proj(self.q_norm(hidden)), torch.cat(keys, dim=2), torch.cat(values, dim=2))
        )
        mask = torch.cat([mask] * NUM_TOWERS, dim=-1).expand(frames, -1, -1).reshape(frames * cells, 1, 1, -1)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.o_proj(attended.reshape(frames, cells, dim))


class LongvuAggregator(nn.Module):
    """The stack: one learned vector, at every cell of the grid, becomes that cell's token."""

    def __init__(self, config: LongvuConfig):
        super().__init__()
        self.side = config.token_side
        self.query = nn.Parameter(torch.zeros(1, config.vision_hidden_size))
        self.layers = nn.ModuleList(LongvuAggregatorLayer(config) for _ in range(config.connector_depth))

    def forward(self, maps: list[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        """Tokens of frames.

        Args:
            maps: per tower (frames, grid * grid, dim), projected; the first is SigLIP's.
            mask: (frames or 1, side * side, window), see `window_mask`.

        Returns:
            (frames, side * side, dim), row by row.
        """
        queries = self.query.expand(len(maps[0]), self.side**2, -1)
        context = maps[0].mean(1)
        windows = [split_windows(tower_map, self.side) for tower_map in maps]
        for layer in self.layers:
            queries = layer(queries, context, mask, *windows)
        return queries


def split_windows(maps: torch.Tensor, side: int) -> torch.Tensor:
    """(..., grid * grid, dim) -> (..., side * side, window, dim): the patches of each cell, row by row."""
    reach = round((maps.shape[-2] / side**2) ** 0.5)
    cells = maps.unflatten(-2, (side, reach, side, reach)).transpose(-4, -3)
    return cells.flatten(-3, -2).flatten(-4, -3)


__all__ = [
    "LongvuAggregator",
    "LongvuAggregatorLayer",
    "LongvuMultiModalProjector",
    "LongvuTowerProjector",
    "split_windows",
]
