# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB's last step: from start and end scores of flow frames to the frames that the language model sees.

The rules are the original's (https://github.com/bigai-nlco/VideoTGB), for whole batches; what deviates is listed in
[`VideotgbGroundingModel`]'s file.
"""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

from .configuration_videotgb_grounding import VideotgbGroundingConfig


@dataclass
class FrameChoice(ModelOutput):
    """Frames chosen for each clip, and why.

    Attributes:
        frame_indices: (clips, frames), into the clip's candidate frames.
        spans: (clips, draws, 2), first and last flow frame of each draw. An end before its start is an empty span.
        scores: (clips, draws, 2), probability of that start and that end; zeros where the clip was not grounded.
        grounded: (clips,), False where a clip is too short or too long for the bridge; its span is the whole clip.
    """

    frame_indices: torch.LongTensor | None = None
    spans: torch.LongTensor | None = None
    scores: torch.FloatTensor | None = None
    grounded: torch.BoolTensor | None = None


def can_ground(num_flow_frames: torch.Tensor, config: VideotgbGroundingConfig) -> torch.Tensor:
    """Which clips have motion, and no more flow frames than there are positions: (clips,) -> (clips,) bool."""
    return (num_flow_frames > 1) & (num_flow_frames <= config.max_flow_frames)


def has_doubles(device: torch.device) -> bool:
    """Whether a device computes in 64-bit floating point; Apple's GPUs do not."""
    return device.type != "mps"


def pick_frames(
    spans: torch.Tensor, num_flow_frames: torch.Tensor, num_candidates: int, num_frames: int, span_mapping: str
) -> torch.Tensor:
    """Candidate frames under the union of spans, evenly thinned out or repeated to `num_frames`.

    Args:
        spans: (clips, draws, 2), first and last flow frame.
        num_flow_frames: (clips,), flow frames T of each clip.
        num_candidates: frames N to choose from.
        num_frames: frames to choose.
        span_mapping: see [`VideotgbGroundingConfig`].

    Returns:
        (clips, num_frames), rising.
    """
    lengths = num_flow_frames.view(-1, 1, 1)
    # A draw that points at the first frame twice, or behind the clip, means all of it.
    whole = ((spans == 0).all(-1) | (spans >= lengths).any(-1)).unsqueeze(-1)
    spans = torch.where(whole, torch.cat([torch.zeros_like(lengths), lengths - 1], dim=-1), spans).float()
    if span_mapping == "length":
        edges = (spans / lengths * num_candidates).trunc()
    else:
        edges = (spans * (num_candidates - 1) / (lengths - 1).clamp(min=1)).trunc()
    candidates = torch.arange(num_candidates, device=spans.device)
    inside = ((candidates >= edges[..., :1]) & (candidates < edges[..., 1:])).any(1)
    inside = inside | ~inside.any(-1, keepdim=True)
    found = inside.sum(-1, keepdim=True)
    if not has_doubles(found.device):
        found = found.cpu()
    # Every candidate is doubled until there are enough; then the middle of `num_frames` equal parts is taken.
    repeats = 2 ** (num_frames / found).log2().ceil().clamp(min=0)
    total = (found * repeats).double()
    edges = torch.arange(num_frames + 1, device=found.device, dtype=torch.float64) * (total / num_frames)
    edges = torch.cat([edges[:, :-1], total], dim=-1).floor()
    middles = ((edges[:, :-1] + edges[:, 1:] - 1) / 2).floor()
    in_order = inside.long().argsort(dim=-1, descending=True, stable=True)
    return in_order.gather(1, (middles / repeats).floor().long().to(in_order.device))


def draw_noise(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Standard Gumbel noise, drawn where the generator lives."""
    return -torch.empty(shape, device=generator.device).exponential_(generator=generator).log()


def choose_frames(
    span_logits: torch.Tensor,
    num_flow_frames: torch.Tensor,
    num_candidates: int,
    num_frames: int,
    config: VideotgbGroundingConfig,
    gumbel_noise: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> FrameChoice:
    """Draws spans and takes frames from their union; without noise all draws are the best span.

    Args:
        span_logits: (clips, L, 2).
        num_flow_frames: (clips,), flow frames of each clip; later positions never win.
        num_candidates: frames to choose from.
        num_frames: frames to choose.
        config: draws, temperature, mapping.
        gumbel_noise: (draws, 2 * clips, L, 1) as the original draws it: starts of all clips, then their ends.
        generator: draws such noise here.

    Raises:
        ValueError: noise of another shape.
    """
    clips, length, _ = span_logits.shape
    shape = (config.num_draws, 2 * clips, length, 1)
    if gumbel_noise is None:
        gumbel_noise = span_logits.new_zeros(shape) if generator is None else draw_noise(shape, generator)
    if tuple(gumbel_noise.shape) != shape:
        raise ValueError(
            f"gumbel_noise must be (draws, 2 * clips, flow frames, 1) = {shape}, got {tuple(gumbel_noise.shape)}."
        )
    noise = gumbel_noise.to(span_logits.device).float().view(-1, 2, clips, length).permute(2, 0, 3, 1)
    num_flow_frames = num_flow_frames.to(span_logits.device)
    outside = torch.arange(length, device=span_logits.device) >= num_flow_frames.unsqueeze(-1)
    logits = span_logits.float().masked_fill(outside.unsqueeze(-1), -torch.inf)
    spans = ((logits.unsqueeze(1) + noise) / config.gumbel_temperature).argmax(2)
    grounded = can_ground(num_flow_frames, config)
    everything = torch.stack([torch.zeros_like(num_flow_frames), num_flow_frames - 1], dim=-1).unsqueeze(1)
    spans = torch.where(grounded.view(-1, 1, 1), spans, everything)
    scores = logits.softmax(1).gather(1, spans) * grounded.view(-1, 1, 1)
    frames = pick_frames(spans, num_flow_frames, num_candidates, num_frames, config.span_mapping)
    return FrameChoice(frame_indices=frames, spans=spans, scores=scores, grounded=grounded)


__all__ = ["FrameChoice", "can_ground", "choose_frames", "pick_frames"]
