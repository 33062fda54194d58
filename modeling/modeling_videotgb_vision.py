# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""What both forms of VideoTGB share: from frames, flow and question to visual tokens.

The three steps of a video are kept apart because they depend on different things: flow on the clip alone, the choice
of frames on clip and question, features of a chosen frame on that frame alone (its Q-Former output on the question
again, in the InstructBLIP form). [`VideotgbVideoCache`] holds what a second question need not compute again.
"""

from dataclasses import dataclass, field

import torch
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple, logging

from .modeling_video_lmm import MediaOutputs, encode_in_chunks
from .modeling_videotgb_frame_choice import FrameChoice, choose_frames


logger = logging.get_logger(__name__)

# In place of a frame index: this video has fewer frames than others of the batch.
NO_FRAME = -1

VIDEO_INPUTS = (
    "pixel_values_videos",
    "flow_pixel_values",
    "flow",
    "num_flow_frames",
    "qformer_input_ids",
    "qformer_attention_mask",
    "sampler_input_ids",
    "sampler_attention_mask",
    "frame_indices",
    "gumbel_noise",
    "frame_generator",
    "video_cache",
)


@dataclass
class VideotgbFeatures(MediaOutputs, BaseModelOutputWithPooling):
    """Visual tokens and how they came about.

    Attributes:
        last_hidden_state: (chosen frames of all videos, positions, vision dim) of the vision tower.
        pooler_output: one (tokens, text dim) entry per video or image.
        qformer_output: (chosen frames of all videos, queries, Q-Former dim).
        frame_choice: which frames, from which spans; None for images and where `frame_indices` were given.
    """

    qformer_output: torch.Tensor | None = None
    frame_choice: FrameChoice | None = None


@dataclass
class VideotgbVideoCache:
    """What a video gives before any question is asked; `get_video_cache` makes it, forward takes it for the pixels.

    Attributes:
        candidates: (candidate frames, 3, H, W), what frames are chosen from.
        num_flow_frames: length of the clip as the choice sees it; 0 if no flow was given.
        flow_features: (flow frames, grounding dim); None where there is nothing to ground.
        encoded: (frames,) candidates that the tower has seen, ascending.
        features: (frames, positions, vision dim) what it made of them.
    """

    candidates: torch.Tensor
    num_flow_frames: int
    flow_features: torch.Tensor | None
    encoded: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    features: torch.Tensor | None = None

    def missing(self, frames: torch.Tensor) -> torch.Tensor:
        """Those of the (distinct, ascending) `frames` that the tower has not seen."""
        return frames[~torch.isin(frames, self.encoded.to(frames.device))]

    def remember(self, frames: torch.Tensor, features: torch.Tensor) -> None:
        """Takes in what the tower made of `frames`."""
        known = self.encoded.to(frames.device)
        both = features if self.features is None else torch.cat([self.features, features])
        self.encoded, order = torch.cat([known, frames]).sort()
        self.features = both[order]


def hide_placeholders(logits: torch.Tensor, num_output_tokens: int | None) -> torch.Tensor:
    """Takes all probability from the token ids that conversion appended, as if the head had no rows for them."""
    if num_output_tokens is None:
        return logits
    ids = torch.arange(logits.shape[-1], device=logits.device)
    return logits.masked_fill(ids >= num_output_tokens, torch.finfo(logits.dtype).min)


class VideotgbVision:
    """Media encoding; mixed into both headless models, which own `vision_tower`, `qformer`, `query_tokens`,
    `multi_modal_projector`, `grounding` and `flow_model`."""

    def get_video_cache(
        self,
        pixel_values_videos: torch.Tensor,
        flow_pixel_values: torch.Tensor | None = None,
        num_flow_frames: torch.Tensor | None = None,
        flow: torch.Tensor | None = None,
    ) -> list[VideotgbVideoCache]:
        """Everything of videos that does not depend on the question; a second question starts from here.

        Args:
            pixel_values_videos: (videos, candidate frames, 3, H, W), normalised.
            flow_pixel_values: (flow frames of all videos, 3, S, S), normalised. Only features of the flow between
                them are kept, so memory beyond the input does not grow with the clip's length by more than those.
            num_flow_frames: (videos,); may be left out for one video.
            flow: (flow frames of all videos, 2, S, S), in place of `flow_pixel_values`: computed earlier.

        Raises:
            ValueError: the counts do not add up to the frames given.
        """
        source = flow if flow is not None else flow_pixel_values
        if source is None:
            return [VideotgbVideoCache(candidates, 0, None) for candidates in pixel_values_videos]
        counts = [len(source)] if num_flow_frames is None else num_flow_frames.tolist()
        if sum(counts) != len(source) or len(counts) != len(pixel_values_videos):
            raise ValueError(
                f"num_flow_frames is {counts} for {len(pixel_values_videos)} videos, but there are {len(source)} flow "
                "frames. Give one count per video; they must add up to the flow frames."
            )
        caches = []
        for candidates, frames in zip(pixel_values_videos, source.split(counts), strict=True):
            features = None
            if self.can_ground(len(frames)):
                chunks = [frames] if flow is not None else self.flow_model.flow_in_chunks(frames)
                features = self.grounding.encode_flow(chunks)
            caches.append(VideotgbVideoCache(candidates, len(frames), features))
        return caches

    def can_ground(self, num_flow_frames: int) -> bool:
        """Whether a clip of this length has flow, and the encoder a position for each of it."""
        longest = self.config.grounding_config.max_flow_frames
        if num_flow_frames > longest:
            logger.warning_once(
                f"A video has {num_flow_frames} flow frames, but the grounding encoder has positions for {longest}: "
                "its frames are chosen uniformly, whatever the question. Sample fewer frames per second, or cut it."
            )
        return 2 <= num_flow_frames <= longest

    def select_frames(
        self,
        video_cache: list[VideotgbVideoCache],
        sampler_input_ids: torch.Tensor | None = None,
        sampler_attention_mask: torch.Tensor | None = None,
        gumbel_noise: torch.Tensor | None = None,
        frame_generator: torch.Generator | None = None,
    ) -> FrameChoice:
        """Lets the question choose frames: the paper's idea.

        Args:
            video_cache: from [`get_video_cache`].
            sampler_input_ids: (videos, length) the question, in BERT's tokens.
            sampler_attention_mask: (videos, length).
            gumbel_noise: (draws, 2 * videos, longest clip, 1) added to start and end logits: what the original drew.
                Without it the most likely span is taken, always.
            frame_generator: draws such noise, as the original does.

        Raises:
            ValueError: the question or the flow is needed and was not given.
        """
        if not all(cache.num_flow_frames for cache in video_cache):
            raise ValueError(
                "The choice of frames needs `flow_pixel_values` (or `flow`) for every video. Give them, or say by "
                "`frame_indices` which frames to take."
            )
        lengths = torch.tensor([cache.num_flow_frames for cache in video_cache], device=self.grounding.device)
        features = [cache.flow_features for cache in video_cache]
        if all(feature is None for feature in features):
            logits = torch.zeros(len(lengths), int(lengths.max()), 2, device=lengths.device)
        elif sampler_input_ids is None:
            raise ValueError("The choice of frames needs `sampler_input_ids`: the question, in BERT's tokens.")
        else:
            logits = self.grounding.score_clips(features, lengths, sampler_input_ids, sampler_attention_mask)
        return choose_frames(
            logits,
            lengths,
            len(video_cache[0].candidates),
            self.config.num_frames,
            self.config.grounding_config,
            gumbel_noise=gumbel_noise,
            generator=frame_generator,
        )

    def encode_frames(self, frames: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> BaseModelOutputWithPooling:
        """(frames, 3, H, W) -> the tower's output, (frames, positions, vision dim) with the class token."""
        return encode_in_chunks(
            lambda chunk: self.vision_tower(chunk, return_dict=True, **kwargs),
            frames.to(self.vision_tower.dtype),
            self.config.vision_chunk_size,
        )

    def encode_candidates(
        self, video_cache: list[VideotgbVideoCache], frame_indices: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> BaseModelOutput:
        """Tower features of chosen frames, each frame encoded once; those of earlier questions are re-used.

        Args:
            video_cache: of every video.
            frame_indices: (videos, n) candidates; [`NO_FRAME`] is skipped.

        Returns:
            `last_hidden_state` (frames of all videos, positions, vision dim); where asked for, hidden states and
            attentions of the distinct frames that ran through the tower just now.
        """
        chosen = [row[row != NO_FRAME] for row in frame_indices]
        distinct = [row.unique() for row in chosen]
        # What was remembered has no gradient.
        reuse = not torch.is_grad_enabled()
        pairs = list(zip(video_cache, distinct, strict=True))
        wanted = [cache.missing(frames) if reuse else frames for cache, frames in pairs]
        counts = [len(frames) for frames in wanted]
        outputs = BaseModelOutput()
        if sum(counts):
            pixels = torch.cat([cache.candidates[frames] for cache, frames in zip(video_cache, wanted, strict=True)])
            outputs = self.encode_frames(pixels, **kwargs)
            encoded = outputs.last_hidden_state.split(counts)
        results = []
        for number, (cache, rows) in enumerate(zip(video_cache, chosen, strict=True)):
            if not reuse:
                results.append(encoded[number][torch.searchsorted(distinct[number], rows)])
                continue
            if counts[number]:
                cache.remember(wanted[number], encoded[number])
            results.append(cache.features[torch.searchsorted(cache.encoded, rows)])
        return BaseModelOutput(torch.cat(results), outputs.hidden_states, outputs.attentions)

    def query_frames(
        self, features: torch.Tensor, owners: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """The Q-Former's view of frames.

        Args:
            features: (frames, positions, vision dim).
            owners: (frames,) row of the prompt that each frame belongs to.
            input_ids: (prompts, length) in the Q-Former's tokens, where it reads text.
            attention_mask: likewise.

        Returns:
            (frames, queries, Q-Former dim).
        """
        raise NotImplementedError

    def merge_frames(self, queries: torch.Tensor, owners: torch.Tensor, media: int) -> torch.Tensor | list:
        """(frames, queries, Q-Former dim) -> one (tokens, text dim) per medium, by `config.frame_merge`."""
        dtype = self.multi_modal_projector.weight.dtype
        # CODEPATH: published checkpoints take the mean; the one-step training recipes lay frames side by side.
        if self.config.frame_merge == "concat":
            tokens = self.multi_modal_projector(queries.to(dtype))
            frames = torch.bincount(owners, minlength=media).tolist()
            return [entry.flatten(0, 1) for entry in tokens.split(frames)]
        total = queries.new_zeros(media, *queries.shape[1:]).index_add(0, owners, queries)
        frames = torch.bincount(owners, minlength=media).clamp(min=1)
        return self.multi_modal_projector((total / frames[:, None, None]).to(dtype))

    @can_return_tuple
    def get_video_features(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        flow_pixel_values: torch.Tensor | None = None,
        flow: torch.Tensor | None = None,
        num_flow_frames: torch.Tensor | None = None,
        qformer_input_ids: torch.Tensor | None = None,
        qformer_attention_mask: torch.Tensor | None = None,
        sampler_input_ids: torch.Tensor | None = None,
        sampler_attention_mask: torch.Tensor | None = None,
        frame_indices: torch.Tensor | None = None,
        gumbel_noise: torch.Tensor | None = None,
        frame_generator: torch.Generator | None = None,
        video_cache: list[VideotgbVideoCache] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideotgbFeatures:
        """Visual tokens of videos.

        Args:
            pixel_values_videos: (videos, candidate frames, 3, H, W), normalised.
            flow_pixel_values: (flow frames of all videos, 3, S, S), normalised.
            flow: (flow frames of all videos, 2, S, S), in place of `flow_pixel_values`.
            num_flow_frames: (videos,).
            qformer_input_ids: (media, length) the prompt in the Q-Former's tokens, InstructBLIP form only; one row per
                image, then one per video.
            qformer_attention_mask: (media, length).
            sampler_input_ids: (videos, length) the question in BERT's tokens.
            sampler_attention_mask: (videos, length).
            frame_indices: (videos, n) candidates to take whatever the question; -1 fills up shorter rows. Flow is
                then not needed.
            gumbel_noise, frame_generator: as for [`select_frames`].
            video_cache: from [`get_video_cache`], replaces pixels and flow.

        Returns:
            `pooler_output` one (tokens, dim) per video, and the choice of frames.

        Raises:
            ValueError: the question is needed and missing, or an index names no candidate.
        """
        if video_cache is None:
            if frame_indices is not None:
                flow_pixel_values = flow = None
            video_cache = self.get_video_cache(pixel_values_videos, flow_pixel_values, num_flow_frames, flow)
        choice = None
        if frame_indices is None:
            choice = self.select_frames(
                video_cache, sampler_input_ids, sampler_attention_mask, gumbel_noise, frame_generator
            )
            frame_indices = choice.frame_indices
        videos, candidates = len(video_cache), len(video_cache[0].candidates)
        if not torch.compiler.is_compiling() and not bool(
            ((frame_indices >= NO_FRAME) & (frame_indices < candidates)).all()
        ):
            raise ValueError(
                f"frame_indices must lie between 0 and {candidates - 1} (or be {NO_FRAME}: no frame), got "
                f"{frame_indices.tolist()}."
            )
        outputs = self.encode_candidates(video_cache, frame_indices, **kwargs)
        features = outputs.last_hidden_state
        owners = torch.arange(videos, device=features.device).repeat_interleave((frame_indices != NO_FRAME).sum(-1))
        prompts = (qformer_input_ids, qformer_attention_mask)
        queries = self.query_frames(features, owners, *(None if rows is None else rows[-videos:] for rows in prompts))
        return VideotgbFeatures(
            last_hidden_state=features,
            pooler_output=self.merge_frames(queries, owners, videos),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            qformer_output=queries,
            frame_choice=choice,
        )

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        qformer_input_ids: torch.Tensor | None = None,
        qformer_attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | VideotgbFeatures:
        """Visual tokens of images: a frame that nobody needs to choose.

        Args:
            pixel_values: (images, 3, H, W), normalised.
            qformer_input_ids, qformer_attention_mask: as for [`get_video_features`].

        Returns:
            `pooler_output` (images, queries, dim).
        """
        images = len(pixel_values)
        outputs = self.encode_frames(pixel_values, **kwargs)
        features = outputs.last_hidden_state
        prompts = (qformer_input_ids, qformer_attention_mask)
        owners = torch.arange(images, device=features.device)
        queries = self.query_frames(features, owners, *(None if rows is None else rows[:images] for rows in prompts))
        return VideotgbFeatures(
            last_hidden_state=features,
            pooler_output=self.multi_modal_projector(queries.to(self.multi_modal_projector.weight.dtype)),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            qformer_output=queries,
        )


__all__ = ["NO_FRAME", "VIDEO_INPUTS", "VideotgbFeatures", "VideotgbVideoCache", "VideotgbVision", "hide_placeholders"]
