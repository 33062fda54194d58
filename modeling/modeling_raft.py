# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""RAFT: optical flow from all-pairs correlation and a recurrent update.

Paper: "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", arXiv 2003.12039. Original code:
https://github.com/princeton-vl/RAFT (BSD-3-Clause), whose `raft-sintel.pth` VideoTGB uses. The networks are
torchvision's (BSD-3-Clause), which give the same numbers; the sizes come from the configuration.

Deviations from the original (results equal up to rounding):
- only the flow of the last iteration is brought to full resolution, the others are never read;
- pairs run in chunks, so memory does not grow with the length of a video;
- batch norms are frozen, statistics and factors (the original changes the statistics while it answers);
- frames too small for the correlation pyramid are refused (the original answers NaN).
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.optical_flow.raft import (
    FeatureEncoder,
    FlowHead,
    MaskPredictor,
    MotionEncoder,
    RecurrentBlock,
    UpdateBlock,
)
from torchvision.ops import FrozenBatchNorm2d
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import maybe_autocast

from .configuration_videotgb_grounding import VideotgbGroundingConfig


# Of the feature maps, against the frames; the networks' strides are 2, 1, 2, 2.
STRIDE = 8


def correlation_pyramid(first: torch.Tensor, second: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """How much each place of one feature map resembles every place of the other, at falling resolution.

    Args:
        first: (n, channels, h, w).
        second: the same shape.
        levels: number of resolutions, each half of the one before.

    Returns:
        Per level (n * h * w, 1, h / 2^level, w / 2^level).
    """
    pairs, channels, height, width = first.shape
    volume = first.flatten(2).transpose(1, 2) @ second.flatten(2) / channels**0.5
    pyramid = [volume.reshape(pairs * height * width, 1, height, width)]
    for _ in range(levels - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], kernel_size=2, stride=2))
    return pyramid


def look_up(pyramid: list[torch.Tensor], places: torch.Tensor, radius: int) -> torch.Tensor:
    """Correlation in a window around the current match of every place, at all levels.

    The slow index of the window moves along x, the fast one along y, as in the original.

    Args:
        pyramid: see [`correlation_pyramid`].
        places: (n, 2, h, w), x and y of the match in feature map pixels.
        radius: reach of the window.

    Returns:
        (n, levels * (2 * radius + 1)^2, h, w), level by level.
    """
    pairs, _, height, width = places.shape
    reach = torch.arange(-radius, radius + 1, device=places.device, dtype=places.dtype)
    window = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), dim=-1)
    centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    found = []
    for level, volume in enumerate(pyramid):
        span = torch.tensor([volume.shape[-1] - 1, volume.shape[-2] - 1], device=places.device, dtype=places.dtype)
        grid = 2 * (centres / 2**level + window) / span - 1
        found.append(F.grid_sample(volume, grid, align_corners=True).view(pairs, height, width, -1))
    return torch.cat(found, dim=-1).permute(0, 3, 1, 2).contiguous()


def upsample(flow: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Brings flow to frame resolution: every pixel is a convex mix of the nine nearest coarse vectors.

    Args:
        flow: (n, 2, h, w) in feature map pixels.
        mask: (n, 9 * STRIDE^2, h, w) logits of the mix.

    Returns:
        (n, 2, STRIDE * h, STRIDE * w) in frame pixels.
    """
    pairs, _, height, width = flow.shape
    weights = mask.view(pairs, 1, 9, STRIDE, STRIDE, height, width).softmax(dim=2)
    nearest = F.unfold(STRIDE * flow, kernel_size=3, padding=1).view(pairs, 2, 9, 1, 1, height, width)
    mixed = (weights * nearest).sum(2)
    return mixed.permute(0, 1, 4, 2, 5, 3).reshape(pairs, 2, STRIDE * height, STRIDE * width)


class VideotgbFlowModel(PreTrainedModel):
    """RAFT over consecutive frames."""

    config: VideotgbGroundingConfig
    config_class = VideotgbGroundingConfig
    base_model_prefix = "flow_model"
    main_input_name = "first"
    input_modalities = ("video",)
    # There is no attention in it, so any implementation will do.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True
    # Twenty recurrent steps amplify rounding.
    _keep_in_fp32_modules_strict = ["feature_encoder", "context_encoder", "update_block", "mask_predictor"]

    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__(config)
        *widths, features = config.raft_encoder_widths
        hidden, context = config.raft_hidden_size, config.raft_context_size
        self.feature_encoder = FeatureEncoder(layers=(*widths, features), norm_layer=nn.InstanceNorm2d)
        self.context_encoder = FeatureEncoder(layers=(*widths, hidden + context), norm_layer=FrozenBatchNorm2d)
        motion = MotionEncoder(
            in_channels_corr=config.raft_corr_levels * (2 * config.raft_corr_radius + 1) ** 2,
            corr_layers=config.raft_corr_widths,
            flow_layers=config.raft_flow_widths,
            out_channels=config.raft_motion_size,
        )
        self.update_block = UpdateBlock(
            motion_encoder=motion,
            recurrent_block=RecurrentBlock(input_size=config.raft_motion_size + context, hidden_size=hidden),
            flow_head=FlowHead(in_channels=hidden, hidden_size=config.raft_head_size),
        )
        self.mask_predictor = MaskPredictor(in_channels=hidden, hidden_size=config.raft_head_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            encoders = (*self.feature_encoder.modules(), *self.context_encoder.modules())
            if any(module is part for part in encoders):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                init.kaiming_uniform_(module.weight, a=5**0.5)
        elif isinstance(module, FrozenBatchNorm2d):
            for buffer, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                init.constant_(getattr(module, buffer), value)

    def forward(self, first: torch.Tensor, second: torch.Tensor, num_updates: int | None = None) -> torch.Tensor:
        """Flow from every `first` frame to its `second`.

        Args:
            first: (n, 3, H, W); 0 to 255 is what RAFT was made for, VideoTGB feeds normalised frames.
            second: the same shape.
            num_updates: iterations; the configuration's by default.

        Returns:
            (n, 2, H, W): displacement in pixels along x and y.

        Raises:
            ValueError: frames too small for the correlation pyramid.
        """
        return self.estimate(first, second, num_updates)[-1]

    def estimate(
        self, first: torch.Tensor, second: torch.Tensor, num_updates: int | None = None, every_update: bool = False
    ) -> list[torch.Tensor]:
        """Flow after the last update, or after each for RAFT's training loss; see `forward`."""
        height, width = first.shape[-2:]
        self.check_size(height, width)
        down, across = -height % STRIDE, -width % STRIDE
        margins = (across // 2, across - across // 2, down // 2, down - down // 2)
        with maybe_autocast(first.device.type, enabled=False):
            frames = [F.pad(frame.to(self.dtype), margins, mode="replicate") for frame in (first, second)]
            flows = self.iterate(*(2 * (frame / 255) - 1 for frame in frames), num_updates, every_update)
        top, left = margins[2], margins[0]
        return [flow[..., top : top + height, left : left + width] for flow in flows]

    def iterate(
        self, first: torch.Tensor, second: torch.Tensor, num_updates: int | None, every_update: bool
    ) -> list[torch.Tensor]:
        features = self.feature_encoder(torch.cat([first, second])).chunk(2)
        pyramid = correlation_pyramid(*features, self.config.raft_corr_levels)
        hidden, context = self.encode_context(first)
        rows, columns = (torch.arange(size, device=first.device, dtype=first.dtype) for size in hidden.shape[-2:])
        start = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))
        flow, flows = hidden.new_zeros(len(first), 2, *hidden.shape[-2:]), []
        updates = self.config.num_flow_updates if num_updates is None else num_updates
        for update in range(updates):
            flow = flow.detach()  # as in the paper: each update learns from where the one before left off
            correlation = look_up(pyramid, start + flow, self.config.raft_corr_radius)
            hidden, change = self.update_block(hidden, context, correlation, flow)
            flow = flow + change
            if every_update or update == updates - 1:
                flows.append(upsample(flow, self.mask_predictor(hidden)))
        return flows

    def encode_context(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """First hidden state and context of the recurrent block, (n, channels, h, w) each."""
        sizes = [self.config.raft_hidden_size, self.config.raft_context_size]
        hidden, context = self.context_encoder(frames).split(sizes, dim=1)
        return hidden.tanh(), context.relu()

    def check_size(self, height: int, width: int) -> None:
        smallest = STRIDE * 2**self.config.raft_corr_levels
        if min(height + -height % STRIDE, width + -width % STRIDE) < smallest:
            raise ValueError(
                f"Flow needs frames of at least {smallest} x {smallest} pixels with raft_corr_levels="
                f"{self.config.raft_corr_levels}, got {height} x {width}."
            )

    def prepare(self, frames: torch.Tensor) -> torch.Tensor:
        """What the networks are given for normalised `frames` (n, 3, H, W), by `config.flow_input`."""
        # CODEPATH: published checkpoints see normalised frames at inference, and were trained on flow of pixels.
        if self.config.flow_input == "normalized":
            return frames
        mean, std = (
            torch.tensor(values, device=frames.device, dtype=torch.float32).view(-1, 1, 1)
            for values in (self.config.pixel_mean, self.config.pixel_deviation)
        )
        return 255 * (frames.float() * std + mean)

    @torch.no_grad()
    def flow_in_chunks(self, frames: torch.Tensor) -> Iterator[torch.Tensor]:
        """Flow between consecutive frames of one video; memory does not depend on its length.

        Args:
            frames: (T, 3, H, W), normalised.

        Yields:
            (n, 2, H, W), T flows in all: the last one is repeated, so that every frame has one. Nothing for T = 1.
        """
        flow = None
        for begin in range(0, len(frames) - 1, self.config.flow_chunk_size):
            part = self.prepare(frames[begin : begin + self.config.flow_chunk_size + 1])
            flow = self(part[:-1], part[1:])
            yield flow
        if flow is not None:
            yield flow[-1:]


__all__ = ["VideotgbFlowModel", "correlation_pyramid", "look_up", "upsample"]
