# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Apollo: a video is a series of short clips, each of them two towers wide, 128 tokens long and dated in the prompt.

Paper: "Apollo: An Exploration of Video Understanding in Large Multimodal Models", arXiv 2412.10360. Weights:
Apollo-LMMs/Apollo-{1_5B,3B,7B}-t32 (1.5B and 7B Apache-2.0, 3B Qwen research licence), withdrawn soon after release
and kept in copies. Written from the description of the graph.

The idea is in [`ApolloVisionModel`] and [`ApolloModel.encode_clips`]: SigLIP sees the frames of a clip one by one,
InternVideo2 sees them together, their features are laid over one grid and joined, and a Perceiver reads the clip into
a fixed number of tokens. Clips never see each other before the language model, so the tokens of a clip can be kept
and used again: for another question, or for a longer version of the video.

Deviations from the original (results equal up to rounding):
- towers are built only as deep as the layer that is used, without their last norms and heads;
- clips of any length work; images, several media per prompt, text-only prompts and left-padded batches too;
- the repetition penalty of the generation configuration acts on generated tokens only, as it did in the original,
  whose `generate` never saw the prompt's ids; to penalise the prompt too, pass your own
  `RepetitionPenaltyLogitsProcessor` in `logits_processor`.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationConfig, Qwen2Model, SiglipVisionModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.generation.logits_process import LogitsProcessorList, RepetitionPenaltyLogitsProcessor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_apollo import ApolloConfig, ApolloVisionConfig
from .modeling_apollo_resampler import ApolloResampler
from .modeling_internvideo2 import InternVideo2VisionModel, fit_frames
from .modeling_video_lmm import (
    VideoLmmCausalLMOutputWithPast,
    VideoLmmForConditionalGeneration,
    VideoLmmModel,
    VideoLmmModelOutputWithPast,
    VideoLmmPreTrainedModel,
    encode_in_chunks,
)


# What the towers give beside their features, where asked.
CAPTURED = ("hidden_states", "attentions")


class ApolloVisionModel(PreTrainedModel):
    """SigLIP and InternVideo2 side by side, their patch features on one (time, row, column) grid."""

    config: ApolloVisionConfig
    config_class = ApolloVisionConfig
    supports_gradient_checkpointing = True
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: ApolloVisionConfig):
        super().__init__(config)
        self.siglip = SiglipVisionModel._from_config(config.siglip_config)
        # The hidden state that Apollo reads has not passed SigLIP's last norm.
        self.siglip.post_layernorm = nn.Identity()
        self.internvideo2 = InternVideo2VisionModel._from_config(config.internvideo2_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.siglip.get_input_embeddings()

    def encode_siglip(self, frames: torch.Tensor, **kwargs) -> BaseModelOutputWithPooling:
        """(clips, frames, 3, S, S) -> `last_hidden_state` (clips, time, rows, columns, channels), frame by frame."""
        time, side = self.config.grid[0], self.config.siglip_side
        kept = fit_frames(frames, min(time, frames.shape[1]))
        outputs = self.siglip(kept.flatten(0, 1), return_dict=True, **kwargs)
        grid = outputs.last_hidden_state.unflatten(1, (side, side)).unflatten(0, kept.shape[:2])
        outputs.last_hidden_state = fit_frames(grid, time)  # frames of too short a clip are repeated encoded
        return outputs

    def encode_internvideo2(self, frames: torch.Tensor, **kwargs) -> BaseModelOutputWithPooling:
        """(clips, frames, 3, V, V) -> `last_hidden_state` (clips, time, rows, columns, channels), clip by clip."""
        outputs = self.internvideo2(frames, return_dict=True, **kwargs)
        patches = outputs.last_hidden_state[:, 1:]  # the class token is not used
        outputs.last_hidden_state = patches.unflatten(1, self.config.internvideo2_config.grid)
        return outputs

    def fuse(self, grids: dict[str, torch.Tensor]) -> torch.Tensor:
        """Brings the towers' grids to the common one and joins their channels.

        Args:
            grids: tower name -> (clips, time, rows, columns, channels).

        Returns:
            (clips, time * rows * columns, channels of both towers in the order of `config.towers`).
        """
        size = self.config.grid[1:]
        return torch.cat([resize_grid(grids[name], size) for name in self.config.towers], dim=-1).flatten(1, 3)

    def forward(
        self,
        pixel_values_videos: torch.Tensor,
        pixel_values_videos_internvideo2: torch.Tensor,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Fused features of clips.

        Args:
            pixel_values_videos: (clips, frames, 3, S, S) for SigLIP.
            pixel_values_videos_internvideo2: (clips, frames, 3, V, V) for InternVideo2.

        Returns:
            `last_hidden_state` (clips, patches of the common grid, channels); where asked for, `hidden_states` and
            `attentions` of both towers one after the other, in the order of `config.towers`.
        """
        # The towers read their own configurations; what this one asks for has to be passed on.
        asked = {f"output_{field}": True for field in CAPTURED if getattr(self.config, f"output_{field}")}
        kwargs = asked | kwargs
        outputs = {
            "siglip": self.encode_siglip(pixel_values_videos, **kwargs),
            "internvideo2": self.encode_internvideo2(pixel_values_videos_internvideo2, **kwargs),
        }
        fused = self.fuse({name: output.last_hidden_state for name, output in outputs.items()})
        ordered = [outputs[name] for name in self.config.towers]
        captured = {field: sum((output[field] for output in ordered), ()) for field in CAPTURED if field in ordered[0]}
        return BaseModelOutputWithPooling(last_hidden_state=fused, **captured)


def resize_grid(grid: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(clips, time, rows, columns, channels) -> the same with rows and columns resized bilinearly, in float32.

    The original interpolates trilinearly; with time unchanged, as it always is here, both are the same.
    """
    if tuple(grid.shape[2:4]) == size:
        return grid
    images = grid.flatten(0, 1).permute(0, 3, 1, 2).float()
    images = F.interpolate(images, size=size, mode="bilinear", align_corners=False).to(grid.dtype)
    return images.permute(0, 2, 3, 1).unflatten(0, grid.shape[:2])


class ApolloMultiModalProjector(nn.Sequential):
    """Linear layers with an activation between them; in the published checkpoints a single one, hence linear."""

    def __init__(self, config: ApolloConfig):
        width = config.text_config.hidden_size
        layers = [nn.Linear(config.vision_config.hidden_size, width)]
        for _ in range(1, config.projector_num_layers):
            layers += [ACT2FN[config.projector_hidden_act], nn.Linear(width, width)]
        super().__init__(*layers)


def check_both_towers(pixels: dict[str, torch.Tensor | None]) -> None:
    """Raises ValueError where one tower's input is given without the other's."""
    missing = [name for name, value in pixels.items() if value is None]
    if len(missing) == 1:
        raise ValueError(
            f"Apollo has two towers: pass both `{'` and `'.join(pixels)}`, or neither; `{missing[0]}` is missing."
        )


class ApolloPreTrainedModel(VideoLmmPreTrainedModel):
    """Base of the Apollo classes: configuration, loading, initialisation."""

    config: ApolloConfig
    config_class = ApolloConfig
    _no_split_modules = ["ApolloMultiModalProjector"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ApolloMultiModalProjector):
            for layer in module:
                if isinstance(layer, nn.Linear):
                    init.normal_(layer.weight, std=(0.4 / layer.in_features) ** 0.5)


class ApolloModel(ApolloPreTrainedModel, VideoLmmModel):
    """Towers, projector, resampler and Qwen2, without the language-model head."""

    def __init__(self, config: ApolloConfig):
        super().__init__(config)
        self.vision_tower = ApolloVisionModel._from_config(config.vision_config)
        self.multi_modal_projector = ApolloMultiModalProjector(config)
        self.resampler = ApolloResampler._from_config(config.resampler_config)
        self.language_model = Qwen2Model._from_config(config.text_config)
        self.post_init()

    def encode_clips(
        self, pixel_values_videos: torch.Tensor, pixel_values_videos_internvideo2: torch.Tensor, **kwargs
    ) -> BaseModelOutputWithPooling:
        """Tokens of clips, all at once: `last_hidden_state` (clips, tokens per clip, dim)."""
        outputs = self.vision_tower(pixel_values_videos, pixel_values_videos_internvideo2, **kwargs)
        outputs.last_hidden_state = self.resampler(self.multi_modal_projector(outputs.last_hidden_state))
        return outputs

    @can_return_tuple
    def get_video_features(
        self,
        pixel_values_videos: torch.Tensor,
        pixel_values_videos_internvideo2: torch.Tensor,
        num_clips: torch.Tensor | None = None,
        video_grid_thw: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of videos, `config.vision_chunk_size` clips at a time.

        Args:
            pixel_values_videos: (clips of all videos, frames, 3, S, S) for SigLIP; any number of frames.
            pixel_values_videos_internvideo2: (clips of all videos, frames, 3, V, V) for InternVideo2.
            num_clips: (videos,) clips of each video; by default all belong to one.
            video_grid_thw: (videos, 3) the same as grids of clips, (clips, 1, 1), which serving engines know;
                `num_clips` wins.

        Returns:
            `last_hidden_state` (clips, tokens per clip, dim), each clip's tokens independent of every other clip, and
            `pooler_output`, the same as one (clips of the video * tokens per clip, dim) entry per video. Entries made
            from kept clips, in the order of the prompt, may be passed to forward as `mm_encoder_outputs`.

        Raises:
            ValueError: the two inputs and `num_clips` do not agree on the number of clips.
        """
        clips = len(pixel_values_videos)
        if num_clips is None and video_grid_thw is not None:
            num_clips = video_grid_thw.prod(-1)
        counts = [clips] if num_clips is None else num_clips.tolist()
        if sum(counts) != clips or len(pixel_values_videos_internvideo2) != clips:
            raise ValueError(
                f"SigLIP's input holds {clips} clips and InternVideo2's {len(pixel_values_videos_internvideo2)}, but "
                f"`num_clips` adds up to {sum(counts)}: the three must agree."
            )
        outputs = encode_in_chunks(
            lambda chosen: self.encode_clips(
                pixel_values_videos[chosen], pixel_values_videos_internvideo2[chosen], **kwargs
            ),
            torch.arange(clips, device=pixel_values_videos.device),
            self.config.vision_chunk_size,
        )
        outputs.pooler_output = [video.flatten(0, 1) for video in outputs.last_hidden_state.split(counts)]
        return outputs

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        pixel_values_internvideo2: torch.Tensor,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of images: an image is a clip of one frame.

        Args:
            pixel_values: (images, 3, S, S) for SigLIP.
            pixel_values_internvideo2: (images, 3, V, V) for InternVideo2.

        Returns:
            As [`get_video_features`], one (tokens per clip, dim) entry per image.
        """
        return self.get_video_features(
            pixel_values.unsqueeze(1),
            pixel_values_internvideo2.unsqueeze(1),
            torch.ones(len(pixel_values), dtype=torch.long),
            return_dict=True,
            **kwargs,
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_internvideo2: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        pixel_values_videos_internvideo2: torch.FloatTensor | None = None,
        num_clips: torch.LongTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmModelOutputWithPast:
        """Runs towers, projector, resampler and language model.

        Args:
            input_ids: (batch, length); each clip is a run of `config.resampler_config.num_latents` placeholders.
            attention_mask: (batch, length), 1 on text and placeholders, 0 on padding.
            position_ids: (batch, length); by default counted from the mask.
            inputs_embeds: (batch, length, dim), instead of `input_ids`.
            pixel_values: (images, 3, S, S) for SigLIP, normalised.
            pixel_values_internvideo2: (images, 3, V, V) for InternVideo2, normalised.
            pixel_values_videos: (clips of all videos, frames, 3, S, S) for SigLIP; videos in prompt order.
            pixel_values_videos_internvideo2: (clips of all videos, frames, 3, V, V) for InternVideo2.
            num_clips: (videos,) clips of each video.
            mm_encoder_outputs: features encoded earlier by `get_video_features` / `get_image_features`, under "video"
                and "image"; replaces the pixels.
            use_cache: whether to return the cache of keys and values.

        Raises:
            ValueError: placeholders and features do not match, an input is given twice, or one of two towers has none.
        """
        image = {"pixel_values": pixel_values, "pixel_values_internvideo2": pixel_values_internvideo2}
        video = {
            "pixel_values_videos": pixel_values_videos,
            "pixel_values_videos_internvideo2": pixel_values_videos_internvideo2,
        }
        for pixels in (image, video):
            check_both_towers(pixels)
        media = self.encode_media(mm_encoder_outputs, image=image, video=video | {"num_clips": num_clips})
        return self.run_language_model(
            input_ids,
            inputs_embeds,
            media,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )


class ApolloForConditionalGeneration(ApolloPreTrainedModel, VideoLmmForConditionalGeneration):
    """Apollo with its language-model head: what `generate`, the pipelines and trainers use."""

    prefill_only_inputs = (
        "pixel_values",
        "pixel_values_internvideo2",
        "pixel_values_videos",
        "pixel_values_videos_internvideo2",
        "num_clips",
    )

    def __init__(self, config: ApolloConfig):
        super().__init__(config)
        self.model = ApolloModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_video_features(
        self,
        pixel_values_videos: torch.Tensor,
        pixel_values_videos_internvideo2: torch.Tensor,
        num_clips: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """[`ApolloModel.get_video_features`]."""
        return self.model.get_video_features(
            pixel_values_videos, pixel_values_videos_internvideo2, num_clips, **kwargs
        )

    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        pixel_values_internvideo2: torch.Tensor,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """[`ApolloModel.get_image_features`]."""
        return self.model.get_image_features(pixel_values, pixel_values_internvideo2, **kwargs)

    def _get_logits_processor(
        self,
        generation_config: GenerationConfig,
        input_ids_seq_length: int | None = None,
        *args,
        logits_processor: LogitsProcessorList | None = None,
        **kwargs,
    ) -> LogitsProcessorList:
        """As inherited, but the configured repetition penalty leaves the prompt out; a caller's own is untouched."""
        processors = super()._get_logits_processor(
            generation_config, input_ids_seq_length, *args, logits_processor=logits_processor, **kwargs
        )
        for processor in processors:
            own = not any(processor is given for given in logits_processor or ())
            if own and isinstance(processor, RepetitionPenaltyLogitsProcessor):
                processor.prompt_ignore_length = input_ids_seq_length or 0
        return processors

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_internvideo2: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        pixel_values_videos_internvideo2: torch.FloatTensor | None = None,
        num_clips: torch.LongTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmCausalLMOutputWithPast:
        """[`ApolloModel.forward`] followed by the head.

        Args:
            labels: (batch, length), shifted inside; -100 where nothing is learned, as on every placeholder.
            logits_to_keep: number of last positions to compute logits for (0: all), or a tensor of positions.

        Raises:
            ValueError: placeholders and features do not match, an input is given twice, or one of two towers has none.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            pixel_values_internvideo2=pixel_values_internvideo2,
            pixel_values_videos=pixel_values_videos,
            pixel_values_videos_internvideo2=pixel_values_videos_internvideo2,
            num_clips=num_clips,
            mm_encoder_outputs=mm_encoder_outputs,
            use_cache=use_cache,
            **kwargs,
        )
        return self.apply_head(outputs, labels, logits_to_keep, **kwargs)


__all__ = ["ApolloForConditionalGeneration", "ApolloModel", "ApolloPreTrainedModel", "ApolloVisionModel"]
