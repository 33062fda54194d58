# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Video-LLaMA: Q-Formers over time, with eyes and ears.

Paper: "Video-LLaMA: An Instruction-tuned Audio-Visual Language Model for Video Understanding", arXiv 2306.02858.
Original code: https://github.com/DAMO-NLP-SG/Video-LLaMA (BSD-3-Clause). Weights: EVA ViT-g and Q-Former from BLIP-2
(BSD-3-Clause), ImageBind (CC-BY-NC-SA 4.0), language models under the terms of LLaMA or Llama 2.

Two Q-Formers see. The first, BLIP-2's own, turns each frame into 32 tokens; then every frame's tokens get the learned
position of that frame, and a second, small Q-Former reads all of them through 32 queries of its own. A linear layer
brings its answer to the language model: a video costs 32 tokens, however long it is. Hearing works the same way: clips
of sound become points in ImageBind's space, get the position of their clip, and another small Q-Former reads them.
[`VideoLlamaTemporalQFormer`] is that idea, and serves both.

    frames (n, 3, 224, 224) -> EVA ViT-g -> (n, 257, 1408) -> Q-Former -> (n, 32, 768)   + position of the frame
        -> (n * 32, 768) -> video Q-Former -> (32, 768) -> linear -> (32, 4096)          in place of the placeholders

Deviations from the original, none of which changes a result beyond rounding:
- videos of one batch may differ in length: padded frames are not encoded, and a mask hides them from the Q-Former;
- frames beyond the table of positions are refused by name, or stretch the table (`config.interpolate_positions`);
- prompts may be batched with padding, and each row stops for itself;
- only the one or two of ImageBind's six towers that are used are built, and BERT's text half of the Q-Formers is not;
- the language model runs in one dtype; the original mixes three under autocast.
"""

from functools import partial

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionModel, GenerationConfig, LlamaModel
from transformers import initialization as init
from transformers.generation import StoppingCriteria, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .configuration_video_llama import VideoLlamaConfig
from .modeling_imagebind_audio import ImageBindAudioModel, ImageBindVisionModel
from .modeling_video_lmm import (
    VideoLmmCausalLMOutputWithPast,
    VideoLmmForConditionalGeneration,
    VideoLmmModel,
    VideoLmmModelOutputWithPast,
    VideoLmmPreTrainedModel,
    encode_in_chunks,
)


class VideoLlamaQFormer(nn.Module):
    """BLIP-2's Q-Former with its queries: a fixed number of learned tokens reads a sequence of any length."""

    def __init__(self, config: Blip2QFormerConfig, num_queries: int):
        super().__init__()
        self.query_tokens = nn.Parameter(torch.empty(1, num_queries, config.hidden_size))
        self.transformer = Blip2QFormerModel._from_config(config)

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None = None, **kwargs) -> torch.Tensor:
        """(n, length, encoder dim) and (n, length), 1 where there is something to read -> (n, queries, dim)."""
        queries = self.query_tokens.expand(len(states), -1, -1)
        outputs = self.transformer(
            query_embeds=queries, encoder_hidden_states=states, encoder_attention_mask=mask, return_dict=True, **kwargs
        )
        return outputs.last_hidden_state


class VideoLlamaTemporalQFormer(nn.Module):
    """The paper's bridge: positions over time, a Q-Former over all steps, a linear layer to the language model.

    Args:
        config: of the Q-Former.
        num_queries: tokens it answers with.
        max_steps: rows of the position table.
        interpolate: whether more steps stretch the table instead of being refused.
        output_dim: width of the language model.
    """

    def __init__(
        self, config: Blip2QFormerConfig, num_queries: int, max_steps: int, interpolate: bool, output_dim: int
    ):
        super().__init__()
        self.interpolate = interpolate
        self.position_embedding = nn.Embedding(max_steps, config.encoder_hidden_size)
        self.qformer = VideoLlamaQFormer(config, num_queries)
        self.projector = nn.Linear(config.hidden_size, output_dim)

    def positions(self, steps: int) -> torch.Tensor:
        """Learned positions (steps, dim), counted in steps and not in seconds.

        Raises:
            ValueError: more steps than the table has rows, and it may not be stretched.
        """
        table = self.position_embedding.weight
        if steps <= len(table):
            return table[:steps]
        if not self.interpolate:
            raise ValueError(
                f"{steps} frames (or clips of sound) are given, but the table of positions has {len(table)} rows. "
                f"Sample at most {len(table)}, or set `config.interpolate_positions=True` before the model is built: "
                "the table is then stretched, which the published weights have never seen."
            )
        stretched = nn.functional.interpolate(table.T.unsqueeze(0), size=steps, mode="linear", align_corners=True)
        return stretched.squeeze(0).T

    def forward(self, steps: torch.Tensor, mask: torch.Tensor | None = None, **kwargs) -> torch.Tensor:
        """Reads sequences of equally many tokens per step.

        Args:
            steps: (media, steps, tokens, dim).
            mask: (media, steps), 1 on steps that exist; by default all do.

        Returns:
            (media, queries, output dim).
        """
        tokens = steps + self.positions(steps.shape[1])[None, :, None]
        if mask is not None:
            mask = mask.repeat_interleave(steps.shape[2], dim=1)
        return self.projector(self.qformer(tokens.flatten(1, 2), mask, **kwargs))


def media_arguments(
    pixel_values: torch.Tensor | None,
    pixel_values_videos: torch.Tensor | None,
    frame_mask: torch.Tensor | None,
    input_features: torch.Tensor | None,
    audio_pixel_values: torch.Tensor | None,
) -> dict[str, dict[str, torch.Tensor | None]]:
    """What forward is given, as arguments of `get_image_features`, `get_video_features` and `get_audio_features`."""
    audio = {"input_features": input_features}
    if audio_pixel_values is not None:
        audio = {"audio_pixel_values": audio_pixel_values} | audio
    video = {"pixel_values_videos": pixel_values_videos, "frame_mask": frame_mask}
    return {"image": {"pixel_values": pixel_values}, "video": video, "audio": audio}


class VideoLlamaPreTrainedModel(VideoLmmPreTrainedModel):
    """Base of the Video-LLaMA classes: configuration, loading, initialisation."""

    config: VideoLlamaConfig
    config_class = VideoLlamaConfig
    # Not "audio": releases before 5.24 would ask for librosa, which reads no sound here.
    input_modalities = ("image", "video", "text")
    _no_split_modules = ["VideoLlamaQFormer"]
    # As in the original; what passes between bridge and towers is cast.
    _keep_in_fp32_modules = ["qformer", "video_qformer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VideoLlamaQFormer):
            init.normal_(module.query_tokens, std=self.config.initializer_range)
        elif isinstance(module, VideoLlamaTemporalQFormer):
            # As large as what they are added to, or a new bridge is slow to tell one step from another.
            init.normal_(module.position_embedding.weight)


class VideoLlamaModel(VideoLlamaPreTrainedModel, VideoLmmModel):
    """Towers, Q-Formers and Llama, without the language-model head."""

    def __init__(self, config: VideoLlamaConfig):
        super().__init__(config)
        width = config.text_config.hidden_size
        self.vision_tower = Blip2VisionModel._from_config(config.vision_config)
        self.vision_tower.post_layernorm.eps = config.vision_post_layer_norm_eps
        self.qformer = VideoLlamaQFormer(config.qformer_config, config.num_query_tokens)
        self.video_qformer = VideoLlamaTemporalQFormer(
            config.video_qformer_config,
            config.num_video_query_tokens,
            config.max_frames,
            config.interpolate_positions,
            width,
        )
        # CODEPATH: the `-audio` checkpoints have the audio branch, the others see only.
        if config.audio_qformer_config is not None:
            self._keep_in_fp32_modules = [*self._keep_in_fp32_modules, "audio_qformer"]
            self.audio_qformer = VideoLlamaTemporalQFormer(
                config.audio_qformer_config,
                config.num_audio_query_tokens,
                config.max_audio_clips,
                config.interpolate_positions,
                width,
            )
        # CODEPATH: as above; features of sound may also come from elsewhere, without a tower.
        if config.audio_config is not None:
            self.audio_tower = ImageBindAudioModel._from_config(config.audio_config)
        # CODEPATH: only the original's training of the audio branch has it, which feeds that branch images.
        if config.audio_training_config is not None:
            self.audio_training_tower = ImageBindVisionModel._from_config(config.audio_training_config)
        self.language_model = LlamaModel._from_config(config.text_config)
        self.post_init()

    def encode_frames(self, frames: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> BaseModelOutputWithPooling:
        """(frames, 3, H, W) through tower and first Q-Former; `pooler_output` (frames, query tokens, dim)."""
        outputs = self.vision_tower(frames, return_dict=True, **kwargs)
        outputs.pooler_output = self.qformer(outputs.last_hidden_state, **kwargs)
        return outputs

    @can_return_tuple
    def get_video_features(
        self,
        pixel_values_videos: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of videos.

        Args:
            pixel_values_videos: (videos, frames, 3, H, W).
            frame_mask: (videos, frames), 1 on frames and 0 on padding behind them; by default all are frames.

        Returns:
            `pooler_output` (videos, `config.num_video_query_tokens`, dim); `last_hidden_state` (frames that exist,
            patches + 1, vision dim) of the tower.

        Raises:
            ValueError: more frames than there are positions, or a mask of another shape.
        """
        shape = pixel_values_videos.shape[:2]
        if frame_mask is not None and frame_mask.shape != shape:
            raise ValueError(
                f"frame_mask has shape {tuple(frame_mask.shape)}, but `pixel_values_videos` holds {shape[0]} videos "
                f"of {shape[1]} frames."
            )
        exists = None if frame_mask is None else frame_mask.bool()
        frames = pixel_values_videos.flatten(0, 1) if exists is None else pixel_values_videos[exists]
        outputs = encode_in_chunks(partial(self.encode_frames, **kwargs), frames, self.config.vision_chunk_size)
        tokens = outputs.pooler_output
        if exists is not None:
            padded = tokens.new_zeros((*shape, *tokens.shape[1:]))
            tokens = padded.masked_scatter(exists[..., None, None], tokens)
        else:
            tokens = tokens.unflatten(0, shape)
        outputs.pooler_output = self.video_qformer(tokens, exists, **kwargs)
        return outputs

    @can_return_tuple
    def get_image_features(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of images: an image is a video of one frame.

        Args:
            pixel_values: (images, 3, H, W).

        Returns:
            As [`get_video_features`].
        """
        return self.get_video_features(pixel_values.unsqueeze(1), return_dict=True, **kwargs)

    @can_return_tuple
    def get_audio_features(
        self,
        input_features: torch.Tensor | None = None,
        audio_pixel_values: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """Tokens of sounds.

        Args:
            input_features: (sounds, clips, 1, mel bins, mel frames), normalised log-mel spectrograms.
            audio_pixel_values: (sounds, frames, 3, H, W), frames that take the place of sound in training: the
                original trained this branch on them, since ImageBind gives both one space.

        Returns:
            `pooler_output` (sounds, `config.num_audio_query_tokens`, dim); `last_hidden_state` (clips of all sounds,
            patches + 1, audio dim) of the tower.

        Raises:
            ValueError: both inputs or neither, no such tower, or more clips than there are positions.
        """
        if (input_features is None) == (audio_pixel_values is None):
            raise ValueError("Pass exactly one of `input_features` and `audio_pixel_values`.")
        clips = audio_pixel_values if input_features is None else input_features
        name, part = ("audio_tower", "audio_config")
        if input_features is None:
            name, part = ("audio_training_tower", "audio_training_config")
        if getattr(self.config, part) is None:
            raise ValueError(
                f"This model has no {name}: its configuration has no `{part}`. Convert the checkpoint with its audio "
                "files, or leave the sound out."
            )
        outputs = encode_in_chunks(
            partial(getattr(self, name), return_dict=True, **kwargs),
            clips.flatten(0, 1),
            self.config.vision_chunk_size,
        )
        embeddings = outputs.pooler_output.unflatten(0, clips.shape[:2]).unsqueeze(2)
        outputs.pooler_output = self.audio_qformer(embeddings, **kwargs)
        return outputs

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        frame_mask: torch.Tensor | None = None,
        input_features: torch.FloatTensor | None = None,
        audio_pixel_values: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmModelOutputWithPast:
        """Runs towers, Q-Formers and language model.

        Args:
            input_ids: (batch, length); each medium is a run of placeholders, `config.num_video_query_tokens` for an
                image or a video and `config.num_audio_query_tokens` for a sound.
            attention_mask: (batch, length), 1 on text and placeholders, 0 on padding.
            position_ids: (batch, length); by default counted from the mask.
            inputs_embeds: (batch, length, dim), instead of `input_ids`.
            pixel_values: (images, 3, H, W), normalised.
            pixel_values_videos: (videos, frames, 3, H, W), normalised; videos of all prompts in prompt order.
            frame_mask: (videos, frames), 0 on padding behind shorter videos.
            input_features: (sounds, clips, 1, mel bins, mel frames), normalised log-mel spectrograms.
            audio_pixel_values: (sounds, frames, 3, H, W), instead of `input_features` in training.
            mm_encoder_outputs: features encoded earlier by `get_image_features` and its siblings, under "image",
                "video" and "audio"; replaces the raw media.
            use_cache: whether to return the cache of all positions.

        Raises:
            ValueError: placeholders and features do not match, or an input is given twice.
        """
        arguments = media_arguments(pixel_values, pixel_values_videos, frame_mask, input_features, audio_pixel_values)
        media = self.encode_media(mm_encoder_outputs, **arguments)
        return self.run_language_model(
            input_ids,
            inputs_embeds,
            media,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )


class StopSequences(StoppingCriteria):
    """Ends a row whose last tokens are one of the sequences, whatever the other rows do.

    Args:
        sequences: token ids.
    """

    def __init__(self, sequences: list[list[int]]):
        self.sequences = sequences

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor | None, **kwargs) -> torch.Tensor:
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        for sequence in self.sequences:
            if input_ids.shape[1] >= len(sequence):
                tail = input_ids[:, -len(sequence) :]
                done |= (tail == torch.tensor(sequence, device=tail.device)).all(-1)
        return done


class VideoLlamaForConditionalGeneration(VideoLlamaPreTrainedModel, VideoLmmForConditionalGeneration):
    """Video-LLaMA with its language-model head: what `generate`, the pipelines and trainers use."""

    prefill_only_inputs = (
        "pixel_values",
        "pixel_values_videos",
        "frame_mask",
        "input_features",
        "audio_pixel_values",
    )

    def __init__(self, config: VideoLlamaConfig):
        super().__init__(config)
        self.model = VideoLlamaModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_video_features(
        self,
        pixel_values_videos: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """[`VideoLlamaModel.get_video_features`]."""
        return self.model.get_video_features(pixel_values_videos, frame_mask, **kwargs)

    def get_image_features(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """[`VideoLlamaModel.get_image_features`]."""
        return self.model.get_image_features(pixel_values, **kwargs)

    def get_audio_features(
        self,
        input_features: torch.Tensor | None = None,
        audio_pixel_values: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """[`VideoLlamaModel.get_audio_features`]."""
        return self.model.get_audio_features(input_features, audio_pixel_values, **kwargs)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The head, without the rows that were appended for placeholders: no answer and no loss knows of them."""
        logits = super().compute_logits(hidden_states)
        known = self.config.output_vocab_size
        if known is None:
            return logits
        appended = torch.arange(logits.shape[-1], device=logits.device) >= known
        return logits.masked_fill(appended, torch.finfo(logits.dtype).min)

    def _get_stopping_criteria(
        self, generation_config: GenerationConfig, stopping_criteria: StoppingCriteriaList | None, *args, **kwargs
    ) -> StoppingCriteriaList:
        criteria = super()._get_stopping_criteria(generation_config, stopping_criteria, *args, **kwargs)
        # CODEPATH: checkpoints on Vicuna v0 end answers with `###`, which is no single token; Llama 2's have one.
        if self.config.stop_sequences:
            criteria.append(StopSequences(self.config.stop_sequences))
        return criteria

    def _expand_inputs_for_generation(self, expand_size: int = 1, input_ids: torch.Tensor | None = None, **kwargs):
        """Repeats the media of each prompt as a block; the library does so for images and videos, not for sounds."""
        if expand_size == 1:
            return super()._expand_inputs_for_generation(input_ids=input_ids, **kwargs)
        outputs = kwargs.pop("mm_encoder_outputs", None)
        arguments = media_arguments(*(kwargs.pop(name, None) for name in self.prefill_only_inputs))
        outputs = self.model.encode_media(outputs, **arguments)
        embeds = kwargs.get("inputs_embeds")
        ids = input_ids if embeds is None else None
        repeated = {
            modality: BaseModelOutputWithPooling(
                pooler_output=self._repeat_per_sample(modality, output.pooler_output, ids, embeds, expand_size)
            )
            for modality, output in outputs.items()
        }
        input_ids, kwargs = super()._expand_inputs_for_generation(expand_size, input_ids=input_ids, **kwargs)
        return input_ids, kwargs | {"mm_encoder_outputs": repeated}

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        frame_mask: torch.Tensor | None = None,
        input_features: torch.FloatTensor | None = None,
        audio_pixel_values: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmCausalLMOutputWithPast:
        """[`VideoLlamaModel.forward`] followed by the head.

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
            frame_mask=frame_mask,
            input_features=input_features,
            audio_pixel_values=audio_pixel_values,
            mm_encoder_outputs=mm_encoder_outputs,
            use_cache=use_cache,
            **kwargs,
        )
        return self.apply_head(outputs, labels, logits_to_keep, **kwargs)


__all__ = ["StopSequences", "VideoLlamaForConditionalGeneration", "VideoLlamaModel", "VideoLlamaPreTrainedModel"]
