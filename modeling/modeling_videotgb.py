# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB: let the question choose the frames. Decoder-only form: InstructBLIP with Vicuna.

Paper: "Efficient Temporal Extrapolation of Multimodal Large Language Models with Temporal Grounding Bridge", arXiv
2402.16050. Original code: https://github.com/bigai-nlco/VideoTGB (commit 3cbfa49, called LSTP there; no licence file;
it builds on transformers, Apache-2.0, and on RAFT, BSD-3-Clause). Weights: ColorfulAI/LSTP-Chat over
Salesforce/instructblip-vicuna-7b (Vicuna's non-commercial terms) or Salesforce/blip2-flan-t5-xl (MIT).

A bridge of BERT's size reads the optical flow of the clip (one frame per second) and the question, and marks where
the answer begins and ends ([`VideotgbGroundingModel`]). A few of 32 candidate frames come from there; only they are
seen by an image model, which is stock InstructBLIP, and their visual tokens are averaged:

    flow, question -> span -> frames -> ViT-g -> Q-Former -> mean over frames -> projection -> language model

So a video costs 32 tokens, however long it is and however many frames are chosen.

Deviations from the original (results equal up to rounding unless a switch is named):
- the visual tokens stand in front of the text as placeholders, one id for videos and one for images in rows of the
  embedding table that conversion appends; the original prepends embeddings;
- inference is deterministic: the original's Gumbel draws come back with `frame_generator` or `gumbel_noise`, and
  dropout and batch statistics, which it leaves switched on while it answers, are off;
- any number of videos per batch (the original grounds the first and shows black frames for the others); padding takes
  no part in the choice of frames;
- flow is computed a few pairs at a time and only its features are kept; a clip that cannot be grounded (one frame, or
  more than there are positions for) falls back to a uniform choice with a warning, where the original catches every
  exception;
- kept from the original: RAFT sees CLIP-normalised pixels and flow is not normalised, as at its inference
  (`flow_input="pixels"` and `normalize_flow=True` of the grounding configuration restore what it was trained on); the
  InstructBLIP form runs layers of the bridge that were not trained (`mode="fusion"` skips them); the last part of a
  clip cannot be reached (`span_mapping`);
- `temporal_projection` of the checkpoints is never used and left out.
"""

from functools import wraps

import torch
from torch import nn
from transformers import Blip2VisionModel, InstructBlipQFormerModel, LlamaModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple

from .configuration_videotgb import VideotgbConfig
from .modeling_raft import VideotgbFlowModel
from .modeling_video_lmm import (
    VideoLmmCausalLMOutputWithPast,
    VideoLmmForConditionalGeneration,
    VideoLmmModel,
    VideoLmmModelOutputWithPast,
    VideoLmmPreTrainedModel,
)
from .modeling_videotgb_frame_choice import FrameChoice
from .modeling_videotgb_grounding import VideotgbGroundingModel
from .modeling_videotgb_vision import (
    VIDEO_INPUTS,
    VideotgbFeatures,
    VideotgbVideoCache,
    VideotgbVision,
    hide_placeholders,
)


class VideotgbPreTrainedModel(VideoLmmPreTrainedModel):
    """Base of the decoder-only classes: configuration, loading, initialisation."""

    config: VideotgbConfig
    config_class = VideotgbConfig
    _no_split_modules = ["VideotgbFusionLayer"]
    # How flow is cut into chunks and which frames are chosen depends on the content.
    _can_compile_fullgraph = False
    # As BLIP-2 keeps its Q-Former; flow amplifies rounding, and the choice of frames hangs on it.
    _keep_in_fp32_modules = ["query_tokens", "qformer"]
    _keep_in_fp32_modules_strict = ["grounding", "flow_model"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VideotgbModel):
            init.normal_(module.query_tokens, std=self.config.initializer_range)


class VideotgbModel(VideotgbPreTrainedModel, VideotgbVision, VideoLmmModel):
    """Grounding bridge, ViT-g, Q-Former, projection and Llama, without the language-model head."""

    def __init__(self, config: VideotgbConfig):
        super().__init__(config)
        self.vision_tower = Blip2VisionModel._from_config(config.vision_config)
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, config.qformer_config.hidden_size))
        self.qformer = InstructBlipQFormerModel._from_config(config.qformer_config)
        self.multi_modal_projector = nn.Linear(config.qformer_config.hidden_size, config.text_config.hidden_size)
        self.language_model = LlamaModel._from_config(config.text_config)
        self.flow_model = VideotgbFlowModel._from_config(config.grounding_config).float()
        self.grounding = VideotgbGroundingModel._from_config(config.grounding_config).float()
        self.post_init()

    def query_frames(
        self,
        features: torch.Tensor,
        owners: torch.Tensor,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        if input_ids is None:
            raise ValueError("InstructBLIP's Q-Former needs `qformer_input_ids`: the prompt, in its own tokens.")
        queries = self.query_tokens.expand(len(features), -1, -1)
        if attention_mask is not None:
            attention_mask = torch.cat([attention_mask.new_ones(queries.shape[:2]), attention_mask[owners]], dim=1)
        outputs = self.qformer(
            input_ids=input_ids[owners],
            attention_mask=attention_mask,
            query_embeds=queries,
            encoder_hidden_states=features.to(queries.dtype),
            return_dict=True,
        )
        return outputs.last_hidden_state[:, : queries.shape[1]]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        flow_pixel_values: torch.FloatTensor | None = None,
        flow: torch.FloatTensor | None = None,
        num_flow_frames: torch.LongTensor | None = None,
        qformer_input_ids: torch.LongTensor | None = None,
        qformer_attention_mask: torch.Tensor | None = None,
        sampler_input_ids: torch.LongTensor | None = None,
        sampler_attention_mask: torch.Tensor | None = None,
        frame_indices: torch.LongTensor | None = None,
        gumbel_noise: torch.FloatTensor | None = None,
        frame_generator: torch.Generator | None = None,
        video_cache: list[VideotgbVideoCache] | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmModelOutputWithPast:
        """Chooses frames, encodes them and runs the language model; `video_outputs.frame_choice` tells which.

        Args:
            input_ids: (batch, length); each medium is a run of placeholders, `config.num_query_tokens` of them, or as
                many per frame with `frame_merge="concat"`.
            attention_mask: (batch, length), 1 on text and placeholders, 0 on padding.
            position_ids: (batch, length); by default counted from the mask.
            inputs_embeds: (batch, length, dim), instead of `input_ids`.
            pixel_values: (images, 3, H, W), normalised.
            pixel_values_videos, flow_pixel_values, flow, num_flow_frames, qformer_input_ids, qformer_attention_mask,
            sampler_input_ids, sampler_attention_mask, frame_indices, gumbel_noise, frame_generator, video_cache: as
                for `get_video_features`.
            mm_encoder_outputs: features encoded earlier, under "video" and "image"; replaces pixels.
            use_cache: whether to return the cache of this call's positions.

        Raises:
            ValueError: placeholders and features do not match, or an input is missing or given twice.
        """
        image_inputs = {
            "pixel_values": pixel_values,
            "qformer_input_ids": qformer_input_ids,
            "qformer_attention_mask": qformer_attention_mask,
        }
        video_inputs = {
            "pixel_values_videos": pixel_values_videos,
            "flow_pixel_values": flow_pixel_values,
            "flow": flow,
            "num_flow_frames": num_flow_frames,
            "qformer_input_ids": qformer_input_ids,
            "qformer_attention_mask": qformer_attention_mask,
            "sampler_input_ids": sampler_input_ids,
            "sampler_attention_mask": sampler_attention_mask,
            "frame_indices": frame_indices,
            "gumbel_noise": gumbel_noise,
            "frame_generator": frame_generator,
            "video_cache": video_cache,
        }
        if video_cache is not None:  # it comes first: it stands for the pixels
            video_inputs = {"video_cache": video_cache, **video_inputs}
        media = self.encode_media(mm_encoder_outputs, image=image_inputs, video=video_inputs)
        return self.run_language_model(
            input_ids,
            inputs_embeds,
            media,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )


class VideotgbForConditionalGeneration(VideotgbPreTrainedModel, VideoLmmForConditionalGeneration):
    """VideoTGB with its language-model head: what `generate`, the pipelines and trainers use."""

    prefill_only_inputs = ("pixel_values", *VIDEO_INPUTS)

    def __init__(self, config: VideotgbConfig):
        super().__init__(config)
        self.model = VideotgbModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    @wraps(VideotgbModel.get_video_features)
    def get_video_features(self, *args, **kwargs) -> tuple | VideotgbFeatures:
        return self.model.get_video_features(*args, **kwargs)

    @wraps(VideotgbModel.get_image_features)
    def get_image_features(self, *args, **kwargs) -> tuple | VideotgbFeatures:
        return self.model.get_image_features(*args, **kwargs)

    @wraps(VideotgbModel.get_video_cache)
    def get_video_cache(self, *args, **kwargs) -> list[VideotgbVideoCache]:
        return self.model.get_video_cache(*args, **kwargs)

    @wraps(VideotgbModel.select_frames)
    def select_frames(self, *args, **kwargs) -> FrameChoice:
        return self.model.select_frames(*args, **kwargs)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hide_placeholders(super().compute_logits(hidden_states), self.config.num_output_tokens)

    @torch.no_grad()
    def generate(self, inputs: torch.Tensor | None = None, *args, **kwargs) -> torch.LongTensor | ModelOutput:
        """[`GenerationMixin.generate`]; a `video_cache` is turned into features first, as raw pixels are."""
        if kwargs.get("video_cache") is not None:
            video = {name: kwargs.pop(name) for name in VIDEO_INPUTS if name in kwargs}
            if kwargs.get("pixel_values") is not None:  # both modalities read the prompt
                kwargs |= {name: rows for name, rows in video.items() if name.startswith("qformer")}
            encoded = dict(kwargs.pop("mm_encoder_outputs", None) or {})
            encoded["video"] = self.model.get_video_features(**video, return_dict=True)
            kwargs["mm_encoder_outputs"] = encoded
        return super().generate(inputs, *args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        flow_pixel_values: torch.FloatTensor | None = None,
        flow: torch.FloatTensor | None = None,
        num_flow_frames: torch.LongTensor | None = None,
        qformer_input_ids: torch.LongTensor | None = None,
        qformer_attention_mask: torch.Tensor | None = None,
        sampler_input_ids: torch.LongTensor | None = None,
        sampler_attention_mask: torch.Tensor | None = None,
        frame_indices: torch.LongTensor | None = None,
        gumbel_noise: torch.FloatTensor | None = None,
        frame_generator: torch.Generator | None = None,
        video_cache: list[VideotgbVideoCache] | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmCausalLMOutputWithPast:
        """[`VideotgbModel.forward`] followed by the head.

        Args:
            labels: (batch, length), shifted inside; -100 where nothing is learned, as on every placeholder.
            logits_to_keep: number of last positions to compute logits for (0: all), or a tensor of positions.

        Raises:
            ValueError: placeholders and features do not match, or an input is missing or given twice.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            flow_pixel_values=flow_pixel_values,
            flow=flow,
            num_flow_frames=num_flow_frames,
            qformer_input_ids=qformer_input_ids,
            qformer_attention_mask=qformer_attention_mask,
            sampler_input_ids=sampler_input_ids,
            sampler_attention_mask=sampler_attention_mask,
            frame_indices=frame_indices,
            gumbel_noise=gumbel_noise,
            frame_generator=frame_generator,
            video_cache=video_cache,
            mm_encoder_outputs=mm_encoder_outputs,
            use_cache=use_cache,
            **kwargs,
        )
        return self.apply_head(outputs, labels, logits_to_keep, **kwargs)


__all__ = [
    "VideotgbForConditionalGeneration",
    "VideotgbModel",
    "VideotgbPreTrainedModel",
]
