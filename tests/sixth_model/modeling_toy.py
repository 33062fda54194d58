# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Toy: the mean over time of patch embeddings, projected into a language model. Step 2 of the checklist."""

import torch
from torch import nn
from transformers import LlamaModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from .configuration_toy import ToyConfig
from .modeling_video_lmm import (
    VideoLmmCausalLMOutputWithPast,
    VideoLmmForConditionalGeneration,
    VideoLmmModel,
    VideoLmmModelOutputWithPast,
    VideoLmmPreTrainedModel,
    encode_in_chunks,
)


class ToyPreTrainedModel(VideoLmmPreTrainedModel):
    """Base of the toy classes."""

    config: ToyConfig
    config_class = ToyConfig
    input_modalities = ("video", "text")


class ToyModel(ToyPreTrainedModel, VideoLmmModel):
    """Patch embedding, linear projector and Llama, without the language-model head."""

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        width, patch = config.vision_hidden_size, config.patch_size
        self.vision_tower = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.multi_modal_projector = nn.Linear(width, config.text_config.hidden_size)
        self.language_model = LlamaModel._from_config(config.text_config)
        self.post_init()

    @can_return_tuple
    def get_video_features(self, pixel_values_videos: torch.Tensor, **kwargs) -> tuple | BaseModelOutputWithPooling:
        """(videos, frames, 3, H, W) -> `pooler_output` (videos, tokens, dim)."""
        frames = encode_in_chunks(self.vision_tower, pixel_values_videos.flatten(0, 1), chunk_size=2)
        patches = frames.flatten(2).transpose(1, 2)
        mean = patches.unflatten(0, pixel_values_videos.shape[:2]).mean(1)
        return BaseModelOutputWithPooling(last_hidden_state=patches, pooler_output=self.multi_modal_projector(mean))

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs,
    ) -> tuple | VideoLmmModelOutputWithPast:
        """Runs tower, projector and language model."""
        media = self.encode_media(mm_encoder_outputs, video={"pixel_values_videos": pixel_values_videos})
        return self.run_language_model(
            input_ids,
            inputs_embeds,
            media,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **kwargs,
        )


class ToyForConditionalGeneration(ToyPreTrainedModel, VideoLmmForConditionalGeneration):
    """Toy with its language-model head."""

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        self.model = ToyModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        labels: torch.LongTensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs,
    ) -> tuple | VideoLmmCausalLMOutputWithPast:
        """[`ToyModel.forward`] followed by the head."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            pixel_values_videos=pixel_values_videos,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        return self.apply_head(outputs, labels, logits_to_keep, **kwargs)


__all__ = ["ToyForConditionalGeneration", "ToyModel", "ToyPreTrainedModel"]
