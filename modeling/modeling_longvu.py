# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU: an hour of video in a fixed context, by dropping what repeats and keeping what the question asks for.

Paper: "LongVU: Spatiotemporal Adaptive Compression for Long Video-Language Understanding", arXiv 2410.17434.
Original code: https://github.com/Vision-CAIR/LongVU (Apache-2.0). Weights: Vision-CAIR/LongVU_* (Apache-2.0 over Qwen2
and Llama 3.2), with google/siglip-so400m-patch14-384 and facebook/dinov2-giant (both Apache-2.0).

Frames, about one per second, pass three reductions (`modeling_longvu_compression`):
1. of each window of 16 frames, those that resemble the rest in DINOv2's eyes are dropped;
2. SigLIP's and DINOv2's maps of the others become 12 x 12 tokens ([`LongvuAggregator`]); if not all frames can afford
   them, those that match the question do, and the others get 8 x 8;
3. if even that is too much, of each group of 8 frames only the first is kept whole, and of the others what changed.

How many tokens a video has depends on its content and on the weights, so a prompt holds one placeholder per video and
[`LongvuModel.expand_video_tokens`] makes room; `generate` does it by itself.

Deviations from the original (results equal up to rounding unless a switch is named):
- frames are streamed: only the maps of kept frames stay, and SigLIP never sees the others;
- every video has its own budget and stage; the original decides for the batch by its first sample. Videos of one
  prompt share the context equally (processor);
- batches are padded with a mask, on the side of the input; the original attends to right padding;
- thresholds are compared in float32; the original's fp16 may flip a frame on the border;
- kept from the original: decoded videos give their size as (height, width) where (width, height) is read, so that
  landscape videos lose columns instead of padding (the weights are trained on it; the video processor's
  `true_aspect=True` mends it); images get 8 x 8 tokens in video models (`config.image_full_resolution=True`: all);
  no frame is dropped from clips that fit at low resolution; newlines count as unchanged tokens in step 3;
- its filler tokens behind the placeholder and the blank image of text-only samples, both of training only, are gone;
- a prompt that leaves no room for the video is an error, and no sequence is cut.
"""

from functools import wraps

import torch
from torch import nn
from transformers import Dinov2Model, LlamaModel, Qwen2Model, SiglipVisionModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_longvu import LongvuConfig
from .modeling_longvu_aggregator import (
    LongvuAggregator,
    LongvuAggregatorLayer,
    LongvuMultiModalProjector,
    LongvuTowerProjector,
)
from .modeling_longvu_compression import (
    VideoSelection,
    choose_stage,
    crop_box,
    fit_budget,
    highres_quota,
    mixed_mask,
    score_frames,
    window_mask,
)
from .modeling_longvu_expansion import LongvuGeneration, VideoExpansion, check_expanded, expand_placeholders
from .modeling_longvu_frames import Budget, LongvuFrameEncoding, VideoCache
from .modeling_video_lmm import (
    VideoLmmCausalLMOutputWithPast,
    VideoLmmForConditionalGeneration,
    VideoLmmModel,
    VideoLmmModelOutputWithPast,
    VideoLmmPreTrainedModel,
    concatenate,
)


LANGUAGE_MODELS = {"qwen2": Qwen2Model, "llama": LlamaModel}


class LongvuPreTrainedModel(VideoLmmPreTrainedModel):
    """Base of the LongVU classes: configuration, loading, initialisation."""

    config: LongvuConfig
    config_class = LongvuConfig
    _no_split_modules = ["LongvuAggregatorLayer", "LongvuTowerProjector", "LongvuMultiModalProjector"]
    # How many tokens there are depends on the content.
    _can_compile_fullgraph = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LongvuAggregator):
            init.normal_(module.query, std=module.query.shape[-1] ** -0.5)
        elif isinstance(module, LongvuAggregatorLayer):
            for position in module.window_position:
                init.normal_(position)
        elif isinstance(module, LongvuModel):
            init.normal_(module.image_newline, std=module.image_newline.shape[-1] ** -0.5)


class LongvuModel(LongvuPreTrainedModel, LongvuFrameEncoding, VideoLmmModel):
    """Both towers, aggregator, projector and language model, without the language-model head."""

    def __init__(self, config: LongvuConfig):
        super().__init__(config)
        self.vision_tower = SiglipVisionModel._from_config(config.vision_config)
        # The features are read before SigLIP's last norm.
        self.vision_tower.post_layernorm = nn.Identity()
        self.dinov2_tower = Dinov2Model._from_config(config.dinov2_config)
        self.tower_projectors = nn.ModuleList(
            LongvuTowerProjector(tower.hidden_size, config.vision_hidden_size)
            for tower in (config.vision_config, config.dinov2_config)
        )
        self.aggregator = LongvuAggregator(config)
        self.multi_modal_projector = LongvuMultiModalProjector(config)
        self.image_newline = nn.Parameter(torch.zeros(config.text_config.hidden_size))
        self.language_model = LANGUAGE_MODELS[config.text_config.model_type]._from_config(config.text_config)
        self.post_init()

    def compress_video(
        self, cache: VideoCache, query: torch.Tensor | None, budget: Budget
    ) -> tuple[torch.Tensor, VideoSelection]:
        """Decides on resolution and tokens of one video.

        Args:
            cache: the video.
            query: (text tokens, text dim) embeddings of what follows it in the prompt.
            budget: its share of the context.

        Returns:
            (tokens, text dim), and what was kept.

        Raises:
            ValueError: the question is needed and was not given.
        """
        config, grids, frames = self.config, cache.outputs.last_hidden_state, cache.frames
        if len(frames) == cache.num_frames and cache.num_frames >= self.frame_capacity(budget):
            kept = self.thin(cache.distinct)
            grids, frames = grids[kept], frames[kept]
        stage = choose_stage(len(frames), budget.selection, config.image_token_len, config.lowres_token**2)
        lowres = config.highres and stage == "mix"
        tokens = self.frame_tokens(grids, cache.size, lowres)
        if lowres:
            side = config.token_side
            full = crop_box(cache.size, side).num_tokens
            quota = highres_quota(len(frames), budget.tokens, full, tokens.shape[1])
            if quota:
                if query is None:
                    raise ValueError("This video needs `query_input_ids`: the question decides which frames get more.")
                scores = score_frames(tokens, query)
                chosen = scores.topk(quota).indices.sort().values
                tokens, keep = self.raise_frames(tokens, grids, cache.size, chosen)
                return tokens[keep], VideoSelection(frames, stage, lowres, keep, chosen, scores.detach())
        keep = fit_budget(tokens, budget.tokens, config.drop_threshold, config.group_size)
        return tokens[keep], VideoSelection(frames, stage, lowres, keep)

    def raise_frames(
        self, tokens: torch.Tensor, grids: torch.Tensor, size: tuple[int, int], chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Puts full-resolution tokens of the `chosen` frames in front of everyone's; the mask tells which count."""
        raised = self.frame_tokens(grids[chosen], size, lowres=False)
        places = raised.new_zeros(len(tokens), *raised.shape[1:]).index_copy(0, chosen, raised)
        keep = mixed_mask(len(tokens), chosen, raised.shape[1], tokens.shape[1])
        return torch.cat([places, tokens], dim=1), keep

    def repeat_selection(self, cache: VideoCache, selection: VideoSelection) -> torch.Tensor:
        """(tokens, text dim) of a video whose selection is known: current weights, same places."""
        grids = cache.outputs.last_hidden_state
        tokens = self.frame_tokens(grids, cache.size, selection.lowres)
        if selection.highres_frames is not None:
            tokens, _ = self.raise_frames(tokens, grids, cache.size, selection.highres_frames)
        return tokens[selection.keep]

    def compress_videos(
        self,
        caches: list[VideoCache],
        query_input_ids: torch.Tensor | None = None,
        query_attention_mask: torch.Tensor | None = None,
        num_prompt_tokens: torch.Tensor | None = None,
        num_text_tokens: torch.Tensor | None = None,
        context_budgets: torch.Tensor | None = None,
    ) -> tuple[list[torch.Tensor], list[VideoSelection]]:
        """The question-dependent part for all videos: their tokens, and what was kept."""
        budgets = self.budgets(len(caches), num_prompt_tokens, num_text_tokens, context_budgets)
        queries = [None] * len(caches)
        if query_input_ids is not None:
            queries = list(self.get_input_embeddings()(query_input_ids))
            if query_attention_mask is not None:
                queries = [query[mask.bool()] for query, mask in zip(queries, query_attention_mask, strict=True)]
        pairs = [self.compress_video(*parts) for parts in zip(caches, queries, budgets, strict=True)]
        return [tokens for tokens, _ in pairs], [selection for _, selection in pairs]

    @can_return_tuple
    def get_video_features(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        pixel_values_videos_dinov2: torch.Tensor | None = None,
        num_frames: torch.Tensor | None = None,
        video_sizes: torch.Tensor | None = None,
        query_input_ids: torch.Tensor | None = None,
        query_attention_mask: torch.Tensor | None = None,
        num_prompt_tokens: torch.Tensor | None = None,
        num_text_tokens: torch.Tensor | None = None,
        context_budgets: torch.Tensor | None = None,
        num_sampled_frames: torch.Tensor | None = None,
        video_selection: list[VideoSelection] | None = None,
        video_cache: list[VideoCache] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of videos.

        Args:
            pixel_values_videos: (frames of all videos, 3, H, W) for SigLIP, normalised.
            pixel_values_videos_dinov2: the same frames for DINOv2.
            num_frames: (videos,).
            video_sizes: (videos, 2) size of a frame, in the order the crop reads it (see the module's text).
            query_input_ids: (videos, length) what follows the last video in its prompt.
            query_attention_mask: (videos, length).
            num_prompt_tokens: (videos,) tokens of the video's prompt, placeholders included.
            num_text_tokens: (videos,) likewise, without placeholders.
            context_budgets: (videos,) tokens that prompt and video may fill; by default the configuration's.
            num_sampled_frames: (videos,) frames before [`select_frames`] chose those given; by default nobody chose.
            video_selection: what was kept of each video, to be kept again; nothing is decided anew.
            video_cache: from [`get_video_cache`], replaces pixels and sizes.

        Returns:
            `pooler_output` one (tokens, dim) per video; `last_hidden_state` (kept frames, cells, dim), aggregated.

        Raises:
            ValueError: a prompt leaves no room, or the question is needed and missing.
        """
        if video_cache is None:
            video_cache = self.get_video_cache(
                pixel_values_videos,
                pixel_values_videos_dinov2,
                num_frames,
                video_sizes,
                num_prompt_tokens,
                context_budgets,
                num_sampled_frames,
                selected_frames=None if video_selection is None else [entry.frames for entry in video_selection],
                **kwargs,
            )
        if video_selection is None:
            counts = (num_prompt_tokens, num_text_tokens, context_budgets)
            tokens, _ = self.compress_videos(video_cache, query_input_ids, query_attention_mask, *counts)
        else:
            tokens = [self.repeat_selection(*pair) for pair in zip(video_cache, video_selection, strict=True)]
        outputs = concatenate([cache.outputs for cache in video_cache])
        return BaseModelOutputWithPooling(**{**outputs, "pooler_output": tokens})

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        pixel_values_dinov2: torch.Tensor,
        image_sizes: torch.Tensor,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        """Visual tokens of images: one resolution, nothing dropped.

        Args:
            pixel_values: (images, 3, H, W) for SigLIP, normalised.
            pixel_values_dinov2: the same images for DINOv2.
            image_sizes: (images, 2) as (width, height).

        Returns:
            `pooler_output` one (tokens, dim) per image.
        """
        sizes = [tuple(size) for size in image_sizes.tolist()]
        grid, side = self.config.grid_size, self.config.token_side
        mask = torch.stack([window_mask(size, grid, side, pixel_values.device) for size in sizes])
        outputs = self.encode_frames(pixel_values, pixel_values_dinov2, mask, **kwargs)
        lowres = self.config.highres and not self.config.image_full_resolution
        grids = outputs.last_hidden_state.split(1)
        outputs.pooler_output = [
            self.frame_tokens(image, size, lowres)[0] for image, size in zip(grids, sizes, strict=True)
        ]
        return outputs

    def expand_video_tokens(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_prompt_tokens: torch.Tensor | None = None,
        num_text_tokens: torch.Tensor | None = None,
        context_budgets: torch.Tensor | None = None,
        query_input_ids: torch.Tensor | None = None,
        query_attention_mask: torch.Tensor | None = None,
        video_cache: list[VideoCache] | None = None,
        **video_inputs: torch.Tensor,
    ) -> VideoExpansion:
        """Makes room for the videos of a batch of prompts that hold one placeholder each.

        For training, call it without gradients in the step, with current weights; then run forward on the answer's
        `text` and `video_selection` and the same pixels. For inference pass on `text` and `mm_encoder_outputs`.

        Args:
            input_ids: (batch, length), padded on either side.
            attention_mask: (batch, length); hidden tokens are removed wherever they stand.
            labels: (batch, length); -100 on videos in the answer.
            video_cache: instead of pixels.
            video_inputs: pixels, `num_frames` and `video_sizes`, as for [`get_video_features`]; so are the others.

        Raises:
            ValueError: placeholders and videos differ in number, or a prompt leaves no room.
        """
        if video_cache is None:
            counts = {"num_prompt_tokens": num_prompt_tokens, "context_budgets": context_budgets}
            video_cache = self.get_video_cache(**video_inputs, **counts)
        tokens, selection = self.compress_videos(
            video_cache, query_input_ids, query_attention_mask, num_prompt_tokens, num_text_tokens, context_budgets
        )
        text = expand_placeholders(
            input_ids,
            attention_mask,
            labels,
            self.config.video_token_id,
            [len(entry) for entry in tokens],
            self.config.text_config.pad_token_id or 0,
        )
        return VideoExpansion(text, selection, {"video": BaseModelOutputWithPooling(pooler_output=tokens)})

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_dinov2: torch.FloatTensor | None = None,
        image_sizes: torch.Tensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        pixel_values_videos_dinov2: torch.FloatTensor | None = None,
        num_frames: torch.Tensor | None = None,
        video_sizes: torch.Tensor | None = None,
        query_input_ids: torch.LongTensor | None = None,
        query_attention_mask: torch.Tensor | None = None,
        num_prompt_tokens: torch.Tensor | None = None,
        num_text_tokens: torch.Tensor | None = None,
        context_budgets: torch.Tensor | None = None,
        num_sampled_frames: torch.Tensor | None = None,
        video_selection: list[VideoSelection] | None = None,
        video_cache: list[VideoCache] | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmModelOutputWithPast:
        """Runs towers, compression and language model on a prompt that has room for its media.

        Args:
            input_ids: (batch, length), from [`expand_video_tokens`] where there are videos.
            attention_mask: (batch, length), 1 on text and media, 0 on padding.
            position_ids: (batch, length); by default counted from the mask.
            inputs_embeds: (batch, length, dim), instead of `input_ids`.
            pixel_values, pixel_values_dinov2, image_sizes: as for [`get_image_features`].
            pixel_values_videos, pixel_values_videos_dinov2, num_frames, video_sizes, query_input_ids,
            query_attention_mask, num_prompt_tokens, num_text_tokens, context_budgets, num_sampled_frames,
            video_selection, video_cache: as for [`get_video_features`]; `video_selection` makes the tokens those that
                the text has room for.
            mm_encoder_outputs: features encoded earlier, under "video" and "image"; replaces pixels.
            use_cache: whether to return the cache of keys and values.

        Raises:
            ValueError: placeholders and features do not match, or an input is given twice.
        """
        image_inputs = {
            "pixel_values": pixel_values,
            "pixel_values_dinov2": pixel_values_dinov2,
            "image_sizes": image_sizes,
        }
        video_inputs = {
            "pixel_values_videos": pixel_values_videos,
            "pixel_values_videos_dinov2": pixel_values_videos_dinov2,
            "num_frames": num_frames,
            "video_sizes": video_sizes,
            "query_input_ids": query_input_ids,
            "query_attention_mask": query_attention_mask,
            "num_prompt_tokens": num_prompt_tokens,
            "num_text_tokens": num_text_tokens,
            "context_budgets": context_budgets,
            "num_sampled_frames": num_sampled_frames,
            "video_selection": video_selection,
            "video_cache": video_cache,
        }
        if video_cache is not None:  # it comes first: it stands for the pixels
            video_inputs = {"video_cache": video_cache, **video_inputs}
        media = self.encode_media(mm_encoder_outputs, image=image_inputs, video=video_inputs)
        if pixel_values_videos is not None or video_cache is not None:
            check_expanded(input_ids, self.config.video_token_id, media["video"].pooler_output)
        return self.run_language_model(
            input_ids,
            inputs_embeds,
            media,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )


class LongvuForConditionalGeneration(LongvuGeneration, LongvuPreTrainedModel, VideoLmmForConditionalGeneration):
    """LongVU with its language-model head: what `generate`, the pipelines and trainers use."""

    def __init__(self, config: LongvuConfig):
        super().__init__(config)
        self.model = LongvuModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    @wraps(LongvuModel.get_video_features)
    def get_video_features(self, *args, **kwargs) -> tuple | BaseModelOutputWithPooling:
        return self.model.get_video_features(*args, **kwargs)

    @wraps(LongvuModel.get_image_features)
    def get_image_features(self, *args, **kwargs) -> tuple | BaseModelOutputWithPooling:
        return self.model.get_image_features(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pixel_values_dinov2: torch.FloatTensor | None = None,
        image_sizes: torch.Tensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        pixel_values_videos_dinov2: torch.FloatTensor | None = None,
        num_frames: torch.Tensor | None = None,
        video_sizes: torch.Tensor | None = None,
        query_input_ids: torch.LongTensor | None = None,
        query_attention_mask: torch.Tensor | None = None,
        num_prompt_tokens: torch.Tensor | None = None,
        num_text_tokens: torch.Tensor | None = None,
        context_budgets: torch.Tensor | None = None,
        num_sampled_frames: torch.Tensor | None = None,
        video_selection: list[VideoSelection] | None = None,
        video_cache: list[VideoCache] | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideoLmmCausalLMOutputWithPast:
        """[`LongvuModel.forward`] followed by the head.

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
            pixel_values_dinov2=pixel_values_dinov2,
            image_sizes=image_sizes,
            pixel_values_videos=pixel_values_videos,
            pixel_values_videos_dinov2=pixel_values_videos_dinov2,
            num_frames=num_frames,
            video_sizes=video_sizes,
            query_input_ids=query_input_ids,
            query_attention_mask=query_attention_mask,
            num_prompt_tokens=num_prompt_tokens,
            num_text_tokens=num_text_tokens,
            context_budgets=context_budgets,
            num_sampled_frames=num_sampled_frames,
            video_selection=video_selection,
            video_cache=video_cache,
            mm_encoder_outputs=mm_encoder_outputs,
            use_cache=use_cache,
            **kwargs,
        )
        return self.apply_head(outputs, labels, logits_to_keep, **kwargs)


__all__ = ["LongvuForConditionalGeneration", "LongvuModel", "LongvuPreTrainedModel"]
