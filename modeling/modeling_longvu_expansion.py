# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Text around videos whose number of tokens only the model knows: one placeholder becomes as many as it needs."""

from typing import NamedTuple

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput

from .modeling_longvu_compression import VideoSelection
from .modeling_longvu_frames import VideoCache


IGNORED_LABEL = -100

IMAGE_INPUTS = ("pixel_values", "pixel_values_dinov2", "image_sizes")
VIDEO_INPUTS = (
    "pixel_values_videos",
    "pixel_values_videos_dinov2",
    "num_frames",
    "num_sampled_frames",
    "video_sizes",
    "query_input_ids",
    "query_attention_mask",
    "num_prompt_tokens",
    "num_text_tokens",
    "context_budgets",
    "video_selection",
    "video_cache",
)


class VideoExpansion(NamedTuple):
    """What `expand_video_tokens` answers.

    Attributes:
        text: `input_ids`, `attention_mask` and, where given, `labels`, with each placeholder repeated.
        video_selection: what was kept of each video; forward applies it to the pixels again, with gradients.
        mm_encoder_outputs: the features themselves, to be passed instead of pixels and selection.
    """

    text: dict[str, torch.Tensor]
    video_selection: list[VideoSelection]
    mm_encoder_outputs: dict[str, BaseModelOutputWithPooling]


def expand_placeholders(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    labels: torch.Tensor | None,
    token_id: int,
    counts: list[int],
    pad_token_id: int,
) -> dict[str, torch.Tensor]:
    """Repeats the placeholders of a batch and pads it again, on the side it was padded on (left if on none).

    Args:
        input_ids: (batch, length), one placeholder per video.
        attention_mask: (batch, length); whatever it hides is removed, wherever it stands; None: nothing is.
        labels: (batch, length) or None; -100 on videos and padding of the result.
        token_id: of the placeholder, which always counts as attended.
        counts: tokens of each video, in prompt order.
        pad_token_id: fills the result.

    Returns:
        `input_ids`, `attention_mask` and, where given, `labels`, (batch, new length).

    Raises:
        ValueError: placeholders and videos differ in number.
    """
    placeholders = input_ids == token_id
    if placeholders.sum() != len(counts):
        raise ValueError(
            f"The prompts hold {int(placeholders.sum())} placeholders (token id {token_id}) but {len(counts)} videos "
            "were given. Each video needs exactly one, which is expanded here."
        )
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    repeats = (attention_mask.bool() | placeholders).long()
    repeats[placeholders] = torch.tensor(counts, dtype=torch.long, device=input_ids.device)
    lengths = repeats.sum(-1)
    batch, width = len(input_ids), int(lengths.max())
    source = torch.arange(input_ids.numel(), device=input_ids.device).repeat_interleave(repeats.flatten())
    row = torch.arange(batch, device=input_ids.device).repeat_interleave(lengths)
    first = lengths.cumsum(0) - lengths
    if bool(attention_mask[:, -1].all()):  # left-padded
        first = first - (width - lengths)
    column = torch.arange(len(source), device=input_ids.device) - first.repeat_interleave(lengths)

    def placed(values: torch.Tensor, fill: int) -> torch.Tensor:
        result = values.new_full((batch, width), fill)
        result[row, column] = values.flatten()[source]
        return result

    text = {
        "input_ids": placed(input_ids, pad_token_id),
        "attention_mask": placed(torch.ones_like(attention_mask), 0),
    }
    if labels is not None:
        text["labels"] = placed(labels.masked_fill(placeholders, IGNORED_LABEL), IGNORED_LABEL)
    return text


def check_expanded(input_ids: torch.Tensor | None, token_id: int, videos: list[torch.Tensor]) -> None:
    """Tells an unexpanded prompt, the likeliest mistake, from other mismatches.

    Args:
        input_ids: (batch, length) of forward; None: it was given embeddings.
        token_id: of the placeholder.
        videos: (tokens, dim) of each video.

    Raises:
        ValueError: there is one placeholder per video, and not one per token.
    """
    if input_ids is None or torch.compiler.is_compiling():
        return
    placeholders = int((input_ids == token_id).sum())
    if videos and placeholders == len(videos) < sum(map(len, videos)):
        raise ValueError(
            f"The prompts hold one placeholder for each of {placeholders} videos, which need "
            f"{sum(map(len, videos))} tokens. Call `expand_video_tokens` first and pass its `text` with its "
            "`video_selection` or `mm_encoder_outputs`; `generate` does so by itself."
        )


class LongvuGeneration:
    """Generation from prompts that hold one placeholder per video; mixed into the class with the head."""

    prefill_only_inputs = (*IMAGE_INPUTS, *VIDEO_INPUTS)

    def get_video_cache(self, **video_inputs: torch.Tensor) -> list[VideoCache]:
        """[`LongvuModel.get_video_cache`]."""
        return self.model.get_video_cache(**video_inputs)

    def select_frames(self, *args, **kwargs) -> torch.Tensor:
        """[`LongvuModel.select_frames`]."""
        return self.model.select_frames(*args, **kwargs)

    def expand_video_tokens(self, **inputs: torch.Tensor) -> VideoExpansion:
        """[`LongvuModel.expand_video_tokens`]."""
        return self.model.expand_video_tokens(**inputs)

    @torch.no_grad()
    def generate(self, inputs: torch.Tensor | None = None, *args, **kwargs) -> torch.LongTensor | ModelOutput:
        """[`GenerationMixin.generate`]; where videos come in raw or as `video_cache`, makes room for them first.

        The prompt is one placeholder per video going in and coming out, so new tokens start at the prompt's length.
        """
        raw = kwargs.get("pixel_values_videos") is not None or kwargs.get("video_cache") is not None
        input_ids = kwargs.pop("input_ids", None) if inputs is None else inputs
        if not raw or input_ids is None or kwargs.get("video_selection") is not None:
            return super().generate(input_ids, *args, **kwargs)
        video_inputs = {name: kwargs.pop(name) for name in VIDEO_INPUTS if kwargs.get(name) is not None}
        mask = kwargs.pop("attention_mask", None)
        expansion = self.expand_video_tokens(input_ids=input_ids, attention_mask=mask, **video_inputs)
        encoded = (kwargs.pop("mm_encoder_outputs", None) or {}) | expansion.mm_encoder_outputs
        output = super().generate(*args, **expansion.text, **kwargs, mm_encoder_outputs=encoded)
        sequences = output if isinstance(output, torch.Tensor) else output.sequences
        prompts = input_ids.repeat_interleave(len(sequences) // len(input_ids), dim=0)
        sequences = torch.cat([prompts, sequences[:, expansion.text["input_ids"].shape[1] :]], dim=1)
        if isinstance(output, torch.Tensor):
            return sequences
        output.sequences = sequences
        return output


__all__ = ["LongvuGeneration", "VideoExpansion", "check_expanded", "expand_placeholders"]
