# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""PLLaVA: an image LMM becomes a video LMM by pooling, without new parameters.

Paper: "PLLaVA: Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning", arXiv 2404.16994.
Original code: https://github.com/magic-research/PLLaVA (Apache-2.0). Weights: ermu2001/pllava-{7b,13b,34b}, derived
from LLaVA-NeXT: Llama 2 community licence for 7b and 13b, Yi licence for 34b.

The idea is in [`PllavaMultiModalProjector`]: 16 frames go one by one through CLIP and LLaVA's projector; the patches
of all frames form a (time, height, width) volume, and an adaptive average pool reduces it to (16, 12, 12) tokens.

Deviations from the original (results equal up to rounding unless a switch is named):
- pooling happens before the second linear layer, which it commutes with: four times less work there;
- the tower is built only as deep as the layer that is used;
- LoRA weights are merged at conversion (or kept as a PEFT adapter), not injected at run time;
- a single image works (the original divides by zero): it is a video of one frame, pooled once and repeated in time;
- ragged numbers of videos per prompt and padded batches work; no loss is computed unless labels are given.
"""

from functools import partial

import torch
from torch import nn
from transformers import CLIPVisionModel, LlamaModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_pllava import PllavaConfig
from .modeling_video_lmm import (
    VideoLmmCausalLMOutputWithPast,
    VideoLmmForConditionalGeneration,
    VideoLmmModel,
    VideoLmmModelOutputWithPast,
    VideoLmmPreTrainedModel,
    encode_in_chunks,
)


def adaptive_pool(hidden: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Adaptive average pool of one dimension to `size` steps.

    Step k averages the inputs from floor(k * n / size) up to ceil((k + 1) * n / size). Written as a product with a
    row-stochastic matrix: any dimension works, and unlike `adaptive_avg_pool3d` its gradient is deterministic on CUDA.
    """
    length = hidden.shape[dim]
    if length == size:
        return hidden
    step = torch.arange(size, device=hidden.device).unsqueeze(1)
    position = torch.arange(length, device=hidden.device)
    inside = (position >= step * length // size) & (position * size < (step + 1) * length)
    weights = (inside / inside.sum(-1, keepdim=True)).to(hidden.dtype)
    return torch.tensordot(hidden, weights, dims=([dim], [1])).movedim(-1, dim)


class PllavaMultiModalProjector(nn.Module):
    """LLaVA's two-layer projector with the paper's pooling inside.

    Pooling is linear and its weights sum to one, so it commutes with `linear_2`; space and time are pooled apart
    because only time mixes frames, which lets the tower run in chunks.
    """

    def __init__(self, config: PllavaConfig):
        super().__init__()
        self.grid = config.vision_config.image_size // config.vision_config.patch_size
        self.pooling_shape = config.pooling_shape
        self.linear_1 = nn.Linear(config.vision_config.hidden_size, config.text_config.hidden_size, bias=True)
        self.act = ACT2FN[config.projector_hidden_act]
        self.linear_2 = nn.Linear(config.text_config.hidden_size, config.text_config.hidden_size, bias=True)

    def pool_space(self, patches: torch.Tensor) -> torch.Tensor:
        """(frames, grid * grid, vision dim) -> (frames, height, width, dim), height and width of `pooling_shape`."""
        hidden = self.act(self.linear_1(patches)).unflatten(1, (self.grid, self.grid))
        _, height, width = self.pooling_shape
        return adaptive_pool(adaptive_pool(hidden, 1, height), 2, width)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(videos, frames, height, width, dim) from `pool_space` -> (videos, tokens, dim) in order t, row, column."""
        pooled = adaptive_pool(frames, 1, self.pooling_shape[0])
        return self.linear_2(pooled.flatten(1, 3))


class PllavaPreTrainedModel(VideoLmmPreTrainedModel):
    """Base of the PLLaVA classes: configuration, loading, initialisation."""

    config: PllavaConfig
    config_class = PllavaConfig
    _no_split_modules = []  # FSDP would shard a projector named here, and gather it for its forward alone


class PllavaModel(PllavaPreTrainedModel, VideoLmmModel):
    """CLIP, pooling projector and Llama, without the language-model head."""

    def __init__(self, config: PllavaConfig):
        super().__init__(config)
        self.vision_tower = CLIPVisionModel._from_config(config.vision_config)
        self.multi_modal_projector = PllavaMultiModalProjector(config)
        self.language_model = LlamaModel._from_config(config.text_config)
        self.post_init()

    def encode_frames(self, frames: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> BaseModelOutputWithPooling:
        """(frames, 3, H, W) through the tower; `pooler_output` holds the spatially pooled patches of each frame."""
        outputs = self.vision_tower(frames, return_dict=True, **kwargs)
        patches = outputs.last_hidden_state[:, 1:]  # the class token is not used
        outputs.pooler_output = self.multi_modal_projector.pool_space(patches)
        return outputs

    @can_return_tuple
    def get_video_features(
        self, pixel_values_videos: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of videos.

        Args:
            pixel_values_videos: (videos, frames, 3, H, W); any number of frames.

        Returns:
            `pooler_output` (videos, tokens, dim), tokens = product of `config.pooling_shape`; `last_hidden_state`
            (videos * frames, patches + 1, vision dim) of the tower.
        """
        encode = partial(self.encode_frames, **kwargs)
        outputs = encode_in_chunks(encode, pixel_values_videos.flatten(0, 1), self.config.vision_chunk_size)
        volume = outputs.pooler_output.unflatten(0, pixel_values_videos.shape[:2])
        outputs.pooler_output = self.multi_modal_projector(volume)
        return outputs

    @can_return_tuple
    def get_image_features(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of images: an image is a video of one frame.

        Args:
            pixel_values: (images, 3, H, W).

        Returns:
            `pooler_output` (images, tokens, dim), as for a video in which the image is repeated.
        """
        return self.get_video_features(pixel_values.unsqueeze(1), return_dict=True, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmModelOutputWithPast:
        """Runs towers, projector and language model.

        Args:
            input_ids: (batch, length); each medium is a run of `prod(config.pooling_shape)` placeholders.
            attention_mask: (batch, length), 1 on text and placeholders, 0 on padding.
            position_ids: (batch, length); by default counted from the mask.
            inputs_embeds: (batch, length, dim), instead of `input_ids`.
            pixel_values: (images, 3, H, W), normalised.
            pixel_values_videos: (videos, frames, 3, H, W), normalised; videos of all prompts in prompt order.
            mm_encoder_outputs: features encoded earlier by `get_video_features` / `get_image_features`, under "video"
                and "image"; replaces the pixels.
            use_cache: whether to return the cache of keys and values.

        Raises:
            ValueError: placeholders and features do not match, or an input is given twice.
        """
        media = self.encode_media(
            mm_encoder_outputs,
            image={"pixel_values": pixel_values},
            video={"pixel_values_videos": pixel_values_videos},
        )
        return self.run_language_model(
            input_ids,
            inputs_embeds,
            media,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )


class PllavaForConditionalGeneration(PllavaPreTrainedModel, VideoLmmForConditionalGeneration):
    """PLLaVA with its language-model head: what `generate`, the pipelines and trainers use."""

    def __init__(self, config: PllavaConfig):
        super().__init__(config)
        self.model = PllavaModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_video_features(
        self, pixel_values_videos: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """[`PllavaModel.get_video_features`]."""
        return self.model.get_video_features(pixel_values_videos, **kwargs)

    def get_image_features(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """[`PllavaModel.get_image_features`]."""
        return self.model.get_image_features(pixel_values, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmCausalLMOutputWithPast:
        """[`PllavaModel.forward`] followed by the head.

        Args:
            labels: (batch, length), shifted inside; -100 where nothing is learned, as on every placeholder.
            logits_to_keep: number of last positions to compute logits for (0: all), or a tensor of positions.

        Raises:
            ValueError: placeholders and features do not match, or an input is given twice.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            mm_encoder_outputs=mm_encoder_outputs,
            use_cache=use_cache,
            **kwargs,
        )
        return self.apply_head(outputs, labels, logits_to_keep, **kwargs)


__all__ = ["PllavaForConditionalGeneration", "PllavaModel", "PllavaPreTrainedModel"]
