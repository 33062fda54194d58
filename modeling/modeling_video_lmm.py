# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""The skeleton every video LMM of this collection shares.

Four small pieces, composed and never switched:

- [`merge_features`] writes visual (or audio) features over the placeholders of a prompt, after one check;
- [`encode_in_chunks`] runs a tower over a long batch of frames with bounded memory;
- [`MediaFeatureReuse`] lets `generate` accept features encoded earlier and forget prefill-only inputs;
- [`VideoLmmModel`] / [`VideoLmmForConditionalGeneration`] join towers, connector and a causal language model.

A model file then states what is its own: its towers, its connector, its rule for what the language model sees.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput


# One entry per image, video or sound: a list of (tokens, dim), or one (media, tokens, dim) tensor.
MediaFeatures = torch.Tensor | list[torch.Tensor]

# Keys and values of earlier positions: since transformers 5.24 under the first name, before under the second. No
# `forward` here names them: they pass through `**kwargs` to the language model, and come back in its output.
CACHE_NAMES = ("cache", "past_key_values")


class MediaOutputs:
    """What the outputs below have in common: the features of the media beside those of the text."""

    def to_tuple(self) -> tuple:
        """All fields that are set, with the media's own outputs as tuples too."""
        return tuple(value.to_tuple() if isinstance(value, ModelOutput) else value for value in self.values())


@dataclass
class VideoLmmModelOutputWithPast(MediaOutputs, BaseModelOutputWithPast):
    """Output of a model without a head.

    Args:
        image_outputs: of `get_image_features`, where the prompt holds images.
        video_outputs: of `get_video_features`, where the prompt holds videos.
        audio_outputs: of `get_audio_features`, where the prompt holds sounds.
    """

    image_outputs: BaseModelOutputWithPooling | None = None
    video_outputs: BaseModelOutputWithPooling | None = None
    audio_outputs: BaseModelOutputWithPooling | None = None


@dataclass
class VideoLmmCausalLMOutputWithPast(MediaOutputs, CausalLMOutputWithPast):
    """Output of a model with its head; the fields are those of [`VideoLmmModelOutputWithPast`]."""

    image_outputs: BaseModelOutputWithPooling | None = None
    video_outputs: BaseModelOutputWithPooling | None = None
    audio_outputs: BaseModelOutputWithPooling | None = None


def find_placeholders(
    token_id: int, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None, embedding: nn.Module
) -> torch.Tensor:
    """Mask (batch, length) of the positions that hold placeholder `token_id`.

    Without `input_ids` (generation from `inputs_embeds`) a placeholder is recognised by its embedding.
    """
    if input_ids is not None:
        return input_ids == token_id
    marker = embedding(torch.full((), token_id, dtype=torch.long, device=inputs_embeds.device))
    return (inputs_embeds == marker).all(-1)


def merge_features(
    input_ids: torch.Tensor | None,
    inputs_embeds: torch.Tensor,
    features: dict[int, MediaFeatures],
    embedding: nn.Module,
) -> torch.Tensor:
    """Writes features over placeholders, in prompt order.

    Args:
        input_ids: (batch, length) token ids, or None when only embeddings are known.
        inputs_embeds: (batch, length, dim) text embeddings.
        features: placeholder token id -> features of all media that use it, sample by sample, (tokens, dim) each.
        embedding: the input embedding table.

    Returns:
        (batch, length, dim) embeddings with every placeholder replaced.

    Raises:
        ValueError: the number of placeholders is not the number of feature rows.
    """
    for token_id, media in features.items():
        rows = torch.cat([entry.reshape(-1, inputs_embeds.shape[-1]) for entry in media])
        mask = find_placeholders(token_id, input_ids, inputs_embeds, embedding)
        if not torch.compiler.is_compiling() and mask.sum() != len(rows):
            raise ValueError(
                f"Features and placeholders do not match: the prompts hold {int(mask.sum())} placeholders (token id "
                f"{token_id}) but the media give {len(rows)} feature rows. Expand each placeholder to its number of "
                "visual tokens (the processor does it), and do not cut the prompt afterwards."
            )
        rows = rows.to(device=inputs_embeds.device, dtype=inputs_embeds.dtype)
        inputs_embeds = inputs_embeds.masked_scatter(mask.unsqueeze(-1), rows)
    return inputs_embeds


def count_positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """Position of every token among those its row's mask shows: (batch, length) -> (batch, length); padding gets 1."""
    positions = attention_mask.long().cumsum(-1) - 1
    return positions.masked_fill(attention_mask == 0, 1)


def concatenate(parts: list) -> torch.Tensor | tuple | ModelOutput:
    """Concatenates tensors along their first dimension; tuples and model outputs field by field."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, torch.Tensor):
        return torch.cat(parts)
    if isinstance(first, ModelOutput):
        return type(first)(**{name: concatenate([part[name] for part in parts]) for name in first})
    return tuple(concatenate(list(fields)) for fields in zip(*parts, strict=True))


def encode_in_chunks(
    encode: Callable[[torch.Tensor], torch.Tensor | ModelOutput], frames: torch.Tensor, chunk_size: int | None
) -> torch.Tensor | ModelOutput:
    """`encode(frames)` computed `chunk_size` rows at a time; the result does not depend on the chunk.

    Args:
        encode: maps (n, ...) to a tensor or model output with n rows, row by row; steps that mix frames belong
            behind it.
        frames: (frames, ...) everything to encode.
        chunk_size: rows per call; None encodes all at once.
    """
    chunks = (frames,) if chunk_size is None else frames.split(chunk_size)
    return concatenate([encode(chunk) for chunk in chunks])


class MediaFeatureReuse:
    """Generation from features that are already encoded (`mm_encoder_outputs`), on every supported transformers.

    Newer releases encode media before prefill and drop the features afterwards. Older ones neither drop them nor know
    how to expand media for beams; the two overrides close that gap and are no-ops where the library does the work.
    """

    # Inputs the first forward consumes; a decoding step must not see them again.
    prefill_only_inputs: tuple[str, ...] = ()

    def prepare_inputs_for_generation(
        self,
        *args,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool = False,
        past_key_values: Cache | None = None,
        cache: Cache | None = None,
        **kwargs,
    ) -> dict:
        # `generate` takes embeddings and caches only from classes that name them here.
        caches = zip(CACHE_NAMES, (cache, past_key_values), strict=True)
        kwargs |= {name: value for name, value in caches if value is not None}
        model_inputs = super().prepare_inputs_for_generation(
            *args, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in ("mm_encoder_outputs", *self.prefill_only_inputs):
                model_inputs.pop(name, None)
        return model_inputs

    def _expand_inputs_for_generation(self, expand_size: int = 1, input_ids: torch.Tensor | None = None, **kwargs):
        if expand_size > 1 and not hasattr(GenerationMixin, "_supports_mm_encoder_outputs"):
            embeds = kwargs.get("inputs_embeds")
            outputs = self._encode_raw_inputs(kwargs)
            kwargs["mm_encoder_outputs"] = {
                modality: BaseModelOutputWithPooling(
                    pooler_output=self._repeat_per_sample(
                        modality, output.pooler_output, input_ids if embeds is None else None, embeds, expand_size
                    )
                )
                for modality, output in outputs.items()
            }
        return super()._expand_inputs_for_generation(expand_size=expand_size, input_ids=input_ids, **kwargs)

    def _encode_raw_inputs(self, inputs: dict) -> dict[str, BaseModelOutputWithPooling]:
        """Takes the raw media out of `inputs` and encodes them, as newer releases do.

        The library would repeat raw media row by row, and so give the videos of one prompt to different beams.
        """
        outputs = dict(inputs.pop("mm_encoder_outputs", None) or {})
        taken = set()
        for modality in self.input_modalities:
            encode = getattr(self.base_model, f"get_{modality}_features", None)
            names = [] if encode is None else [name for name in signature(encode).parameters if name != "kwargs"]
            given = {name: inputs[name] for name in names if inputs.get(name) is not None}
            if given and names[0] in given:  # the others only describe the first
                outputs[modality] = encode(**given, return_dict=True)
            taken.update(names)
        for name in taken:
            inputs.pop(name, None)
        return outputs

    def _repeat_per_sample(
        self,
        modality: str,
        media: MediaFeatures,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        expand_size: int,
    ) -> list[torch.Tensor]:
        """Repeats the media of each sample as a block, because a beam needs all the media of its prompt."""
        token_id = getattr(self.config, f"{modality}_token_id")
        placeholders = find_placeholders(token_id, input_ids, inputs_embeds, self.get_input_embeddings())
        entries, repeated = list(media), []
        for tokens in placeholders.sum(-1).tolist():
            own = []
            while tokens > 0:
                own.append(entries.pop(0))
                tokens -= len(own[-1])
            repeated += own * expand_size
        return repeated


class VideoLmmPreTrainedModel(PreTrainedModel):
    """Flags that transformers, PEFT and serving engines look for; equal for all models of the collection."""

    base_model_prefix = "model"
    input_modalities = ("image", "video", "text")
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = list(CACHE_NAMES)
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @classmethod
    def is_custom_code(cls) -> bool:
        """False: every weight is initialised through `transformers.initialization`, as inside the library.

        True would make loading skip the initialisation of modules that own no parameter themselves, and a tower that
        is missing from a checkpoint would not get its own scheme (CLIP's attention, for one).
        """
        return False


class VideoLmmModel(VideoLmmPreTrainedModel):
    """Towers, connector and language model without a head.

    A subclass creates `language_model` and its towers, and offers `get_video_features` (and `get_image_features`,
    `get_audio_features`), each answering with one (tokens, dim) entry per medium in `pooler_output`.
    """

    def encode_media(
        self, mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None, **inputs: dict[str, Any]
    ) -> dict[str, BaseModelOutputWithPooling]:
        """Features per modality, from `mm_encoder_outputs` where given and otherwise from raw inputs.

        Args:
            mm_encoder_outputs: features encoded earlier, by modality ("image", "video", "audio").
            inputs: by modality, the arguments of `get_<modality>_features`. A modality whose first argument is None is
                absent: the others only describe the first.

        Raises:
            ValueError: a modality is given both raw and encoded.
        """
        media = dict(mm_encoder_outputs or {})
        for modality, arguments in inputs.items():
            if next(iter(arguments.values())) is None:
                continue
            if modality in media:
                raise ValueError(f"The {modality} input is given twice: raw, and encoded in `mm_encoder_outputs`.")
            media[modality] = getattr(self, f"get_{modality}_features")(**arguments, return_dict=True)
        return media

    def features_by_placeholder(self, media: dict[str, BaseModelOutputWithPooling]) -> dict[int, MediaFeatures]:
        """Token id -> features. Some checkpoints have one placeholder, under which kinds cannot be told apart.

        Raises:
            ValueError: images and videos together under one placeholder id.
        """
        ids = {modality: getattr(self.config, f"{modality}_token_id") for modality in media}
        if len(set(ids.values())) < len(ids):
            raise ValueError(
                f"Images and videos share placeholder id {self.config.video_token_id}, so their order in the prompt "
                "is unknown. Pass images as videos of one frame in `pixel_values_videos` (the processor does this for "
                "chats that mix both)."
            )
        return {ids[modality]: output.pooler_output for modality, output in media.items()}

    def run_language_model(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        media: dict[str, BaseModelOutputWithPooling],
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        **kwargs,
    ) -> VideoLmmModelOutputWithPast:
        """Embeds the text, merges the features of `media` (from `encode_media`) and runs the language model."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Specify exactly one of `input_ids` and `inputs_embeds`.")
        embedding = self.get_input_embeddings()
        if inputs_embeds is None:
            inputs_embeds = embedding(input_ids)
        inputs_embeds = merge_features(input_ids, inputs_embeds, self.features_by_placeholder(media), embedding)
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            position_ids = count_positions(attention_mask)[:, -inputs_embeds.shape[1] :]
        outputs = self.language_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, position_ids=position_ids, **kwargs
        )
        encoded = {f"{modality}_outputs": output for modality, output in media.items()}
        return VideoLmmModelOutputWithPast(**outputs, **encoded)


class VideoLmmForConditionalGeneration(MediaFeatureReuse, VideoLmmPreTrainedModel, GenerationMixin):
    """A [`VideoLmmModel`] under a language-model head: loss, logits and `generate`."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The head: (batch, positions, dim) -> (batch, positions, vocabulary)."""
        return self.lm_head(hidden_states)

    def apply_head(
        self,
        outputs: VideoLmmModelOutputWithPast,
        labels: torch.Tensor | None,
        logits_to_keep: int | torch.Tensor,
        **kwargs,
    ) -> VideoLmmCausalLMOutputWithPast:
        """Logits of the kept positions, and the shifted cross-entropy where `labels` are given.

        Args:
            outputs: of the headless model; `last_hidden_state` (batch, length, dim).
            labels: (batch, length), -100 where nothing is learned; visual positions are -100.
            logits_to_keep: number of last positions (0 keeps all) or a tensor of positions.
        """
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.compute_logits(outputs.last_hidden_state[:, kept, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
        others = {name: value for name, value in outputs.items() if name != "last_hidden_state"}
        return VideoLmmCausalLMOutputWithPast(loss=loss, logits=logits, **others)


__all__ = [
    "CACHE_NAMES",
    "MediaFeatureReuse",
    "MediaFeatures",
    "MediaOutputs",
    "VideoLmmCausalLMOutputWithPast",
    "VideoLmmForConditionalGeneration",
    "VideoLmmModel",
    "VideoLmmModelOutputWithPast",
    "VideoLmmPreTrainedModel",
    "concatenate",
    "count_positions",
    "encode_in_chunks",
    "find_placeholders",
    "merge_features",
]
