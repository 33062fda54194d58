# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB, encoder-decoder form: BLIP-2 with Flan-T5.

The same bridge and the same vision side as in `modeling_videotgb`, where paper, original code and deviations are told;
here BLIP-2's Q-Former, which does not read the prompt, stands between, and the text side is stock T5. `generate` runs
everything up to T5's encoder once and decodes from its states.

More deviations of this form:
- the published head has a weight of its own, while transformers' T5 ties it to the embeddings; the head is ours, and
  T5's own classes run without one;
- a clip of one frame works (the original divides by zero).
"""

from dataclasses import dataclass
from functools import wraps

import torch
from torch import nn
from transformers import Blip2QFormerModel, Blip2VisionModel, T5Model
from transformers import initialization as init
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput, Seq2SeqModelOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_videotgb_t5 import VideotgbT5Config
from .modeling_raft import VideotgbFlowModel
from .modeling_video_lmm import MediaOutputs, VideoLmmModel, VideoLmmPreTrainedModel, merge_features
from .modeling_videotgb_frame_choice import FrameChoice
from .modeling_videotgb_grounding import VideotgbGroundingModel
from .modeling_videotgb_vision import (
    VIDEO_INPUTS,
    VideotgbFeatures,
    VideotgbVideoCache,
    VideotgbVision,
    hide_placeholders,
)


IGNORED_LABEL = -100


@dataclass
class VideotgbT5EncoderOutput(MediaOutputs, BaseModelOutput):
    """States of T5's encoder, and features of the media it read.

    Args:
        image_outputs: of `get_image_features`, where the prompt holds images.
        video_outputs: of `get_video_features`, where the prompt holds videos; with the choice of frames.
    """

    image_outputs: VideotgbFeatures | None = None
    video_outputs: VideotgbFeatures | None = None


@dataclass
class VideotgbT5ModelOutput(MediaOutputs, Seq2SeqModelOutput):
    """Output of the model without a head; the added fields are those of [`VideotgbT5EncoderOutput`]."""

    image_outputs: VideotgbFeatures | None = None
    video_outputs: VideotgbFeatures | None = None


@dataclass
class VideotgbT5LMOutput(MediaOutputs, Seq2SeqLMOutput):
    """Output of the model with its head; the added fields are those of [`VideotgbT5EncoderOutput`]."""

    image_outputs: VideotgbFeatures | None = None
    video_outputs: VideotgbFeatures | None = None


class VideotgbT5PreTrainedModel(VideoLmmPreTrainedModel):
    """Base of the encoder-decoder classes: configuration, loading, initialisation."""

    config: VideotgbT5Config
    config_class = VideotgbT5Config
    _no_split_modules = ["VideotgbFusionLayer"]
    # How flow is cut into chunks and which frames are chosen depends on the content.
    _can_compile_fullgraph = False
    # As BLIP-2 keeps its Q-Former and T5 its widest layer; the choice of frames hangs on flow's rounding.
    _keep_in_fp32_modules = ["query_tokens", "qformer", "wo"]
    _keep_in_fp32_modules_strict = ["grounding", "flow_model"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VideotgbT5Model):
            init.normal_(module.query_tokens, std=self.config.initializer_range)


class VideotgbT5Model(VideotgbT5PreTrainedModel, VideotgbVision, VideoLmmModel):
    """Grounding bridge, ViT-g, Q-Former, projection and T5, without the language-model head."""

    def __init__(self, config: VideotgbT5Config):
        super().__init__(config)
        self.vision_tower = Blip2VisionModel._from_config(config.vision_config)
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, config.qformer_config.hidden_size))
        self.qformer = Blip2QFormerModel._from_config(config.qformer_config)
        self.multi_modal_projector = nn.Linear(config.qformer_config.hidden_size, config.text_config.d_model)
        self.language_model = T5Model._from_config(config.text_config)
        self.flow_model = VideotgbFlowModel._from_config(config.grounding_config).float()
        self.grounding = VideotgbGroundingModel._from_config(config.grounding_config).float()
        self.post_init()

    def get_encoder(self, modality: str | None = None) -> "VideotgbT5Encoder | nn.Module":
        """What runs before decoding: media and text to encoder states."""
        return VideotgbT5Encoder(self) if modality is None else super().get_encoder(modality)

    def query_frames(
        self,
        features: torch.Tensor,
        owners: torch.Tensor,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        queries = self.query_tokens.expand(len(features), -1, -1)
        outputs = self.qformer(
            query_embeds=queries, encoder_hidden_states=features.to(queries.dtype), return_dict=True
        )
        return outputs.last_hidden_state

    def encode(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **video_inputs: torch.Tensor,
    ) -> VideotgbT5EncoderOutput:
        """Chooses frames, encodes them and runs T5's encoder; arguments as for [`forward`].

        Raises:
            ValueError: placeholders and features do not match, or an input is missing or given twice.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Specify exactly one of `input_ids` and `inputs_embeds`.")
        # The cache comes first: it stands for the pixels.
        source = "pixel_values_videos" if video_inputs.get("video_cache") is None else "video_cache"
        video = {name: video_inputs.get(name) for name in (source, *VIDEO_INPUTS)}
        media = self.encode_media(mm_encoder_outputs, image={"pixel_values": pixel_values}, video=video)
        embedding = self.get_input_embeddings()
        if inputs_embeds is None:
            inputs_embeds = embedding(input_ids)
        # Where nothing is asked for, T5's own configuration decides.
        asked = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        outputs = self.language_model.encoder(
            inputs_embeds=merge_features(input_ids, inputs_embeds, self.features_by_placeholder(media), embedding),
            attention_mask=attention_mask,
            return_dict=True,
            **{name: value for name, value in asked.items() if value is not None},
        )
        return VideotgbT5EncoderOutput(
            last_hidden_state=outputs.last_hidden_state,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            **{f"{modality}_outputs": output for modality, output in media.items()},
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | tuple | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        decoder_inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        flow_pixel_values: torch.FloatTensor | None = None,
        flow: torch.FloatTensor | None = None,
        num_flow_frames: torch.LongTensor | None = None,
        sampler_input_ids: torch.LongTensor | None = None,
        sampler_attention_mask: torch.Tensor | None = None,
        frame_indices: torch.LongTensor | None = None,
        gumbel_noise: torch.FloatTensor | None = None,
        frame_generator: torch.Generator | None = None,
        video_cache: list[VideotgbVideoCache] | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideotgbT5ModelOutput:
        """Chooses frames, encodes them with the text and decodes; `video_outputs.frame_choice` tells which.

        Args:
            input_ids: (batch, length); each medium is a run of placeholders, `config.num_query_tokens` of them, or as
                many per frame with `frame_merge="concat"`.
            attention_mask: (batch, length), 1 on text and placeholders, 0 on padding.
            decoder_input_ids: (batch, answer), beginning with `config.decoder_start_token_id`.
            decoder_attention_mask: (batch, answer).
            encoder_outputs: of an earlier call; media and text are then not looked at again.
            inputs_embeds: (batch, length, dim), instead of `input_ids`.
            decoder_inputs_embeds: (batch, answer, dim), instead of `decoder_input_ids`.
            pixel_values: (images, 3, H, W), normalised.
            pixel_values_videos, flow_pixel_values, flow, num_flow_frames, sampler_input_ids, sampler_attention_mask,
            frame_indices, gumbel_noise, frame_generator, video_cache: as for `get_video_features`.
            use_cache: whether to return the cache of the decoder.

        Raises:
            ValueError: placeholders and features do not match, or an input is missing or given twice.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encode(
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                pixel_values=pixel_values,
                pixel_values_videos=pixel_values_videos,
                flow_pixel_values=flow_pixel_values,
                flow=flow,
                num_flow_frames=num_flow_frames,
                sampler_input_ids=sampler_input_ids,
                sampler_attention_mask=sampler_attention_mask,
                frame_indices=frame_indices,
                gumbel_noise=gumbel_noise,
                frame_generator=frame_generator,
                video_cache=video_cache,
                output_attentions=kwargs.get("output_attentions"),
                output_hidden_states=kwargs.get("output_hidden_states"),
            )
        outputs = self.language_model(
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        media = {name: getattr(encoder_outputs, name, None) for name in ("image_outputs", "video_outputs")}
        return VideotgbT5ModelOutput(**outputs, **media)


class VideotgbT5Encoder:
    """[`VideotgbT5Model.encode`] in the shape `generate` expects of an encoder."""

    main_input_name = "input_ids"

    def __init__(self, model: VideotgbT5Model):
        self.model = model

    def forward(self, input_ids: torch.LongTensor | None = None, **kwargs) -> BaseModelOutput:
        """Encoder states; what concerns the decoder is ignored."""
        kwargs.pop("return_dict", None)
        outputs = self.model.encode(input_ids, **kwargs)
        # `generate` repeats all that is in here for every beam.
        return BaseModelOutput(outputs.last_hidden_state, outputs.hidden_states, outputs.attentions)

    __call__ = forward


class VideotgbT5ForConditionalGeneration(VideotgbT5PreTrainedModel, GenerationMixin):
    """VideoTGB on Flan-T5 with its language-model head: what `generate`, the pipelines and trainers use."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.shared.weight"}

    def __init__(self, config: VideotgbT5Config):
        super().__init__(config)
        self.model = VideotgbT5Model(config)
        self.lm_head = nn.Linear(config.text_config.d_model, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def get_encoder(self, modality: str | None = None) -> "VideotgbT5Encoder | nn.Module":
        """[`VideotgbT5Model.get_encoder`]."""
        return self.model.get_encoder(modality)

    @wraps(VideotgbT5Model.get_video_features)
    def get_video_features(self, *args, **kwargs) -> tuple | VideotgbFeatures:
        return self.model.get_video_features(*args, **kwargs)

    @wraps(VideotgbT5Model.get_image_features)
    def get_image_features(self, *args, **kwargs) -> tuple | VideotgbFeatures:
        return self.model.get_image_features(*args, **kwargs)

    @wraps(VideotgbT5Model.get_video_cache)
    def get_video_cache(self, *args, **kwargs) -> list[VideotgbVideoCache]:
        return self.model.get_video_cache(*args, **kwargs)

    @wraps(VideotgbT5Model.select_frames)
    def select_frames(self, *args, **kwargs) -> FrameChoice:
        return self.model.select_frames(*args, **kwargs)

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """(batch, answer) labels -> what the decoder reads for them: shifted right, padding for ignored labels."""
        start = labels.new_full((len(labels), 1), self.config.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1]], dim=1).masked_fill(
            torch.cat([start, labels[:, :-1]], dim=1) == IGNORED_LABEL, self.config.pad_token_id
        )

    def _expand_inputs_for_generation(self, *args, **kwargs):
        # The encoder has read them; beams need its states only.
        for name in ("pixel_values", "inputs_embeds", *VIDEO_INPUTS):
            kwargs.pop(name, None)
        return super()._expand_inputs_for_generation(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | tuple | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        decoder_inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        flow_pixel_values: torch.FloatTensor | None = None,
        flow: torch.FloatTensor | None = None,
        num_flow_frames: torch.LongTensor | None = None,
        sampler_input_ids: torch.LongTensor | None = None,
        sampler_attention_mask: torch.Tensor | None = None,
        frame_indices: torch.LongTensor | None = None,
        gumbel_noise: torch.FloatTensor | None = None,
        frame_generator: torch.Generator | None = None,
        video_cache: list[VideotgbVideoCache] | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideotgbT5LMOutput:
        """[`VideotgbT5Model.forward`] followed by the head.

        Args:
            labels: (batch, answer), -100 where nothing is learned; without decoder inputs they are made from these.
            logits_to_keep: number of last positions to compute logits for (0: all), or a tensor of positions.

        Raises:
            ValueError: placeholders and features do not match, or an input is missing or given twice.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            flow_pixel_values=flow_pixel_values,
            flow=flow,
            num_flow_frames=num_flow_frames,
            sampler_input_ids=sampler_input_ids,
            sampler_attention_mask=sampler_attention_mask,
            frame_indices=frame_indices,
            gumbel_noise=gumbel_noise,
            frame_generator=frame_generator,
            video_cache=video_cache,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        hidden_states = outputs.last_hidden_state[:, kept, :]
        if self.config.tie_word_embeddings:
            hidden_states = hidden_states * self.config.text_config.d_model**-0.5
        logits = hide_placeholders(self.lm_head(hidden_states), self.config.num_output_tokens)
        loss = None
        if labels is not None:
            targets = labels[:, kept].flatten()
            loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=IGNORED_LABEL)
        rest = {name: value for name, value in outputs.items() if name != "last_hidden_state"}
        return VideotgbT5LMOutput(loss=loss, logits=logits, **rest)


__all__ = [
    "VideotgbT5Encoder",
    "VideotgbT5EncoderOutput",
    "VideotgbT5ForConditionalGeneration",
    "VideotgbT5LMOutput",
    "VideotgbT5Model",
    "VideotgbT5ModelOutput",
    "VideotgbT5PreTrainedModel",
]
