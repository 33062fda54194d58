# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""From planned media to what the language model sees of them, through the memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from inspect import signature
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..processing.video_errors import VideoLimits
from .conversation import KnownVideo, Medium
from .media_memory import MediaMemory, Remembered
from .planning import Plan, describe, still


# Rows of a prompt's inputs, one per video, that `get_video_cache` of a model may ask for.
_BUDGET_INPUTS = ("num_prompt_tokens", "context_budgets")


@dataclass
class View:
    """The media of one prompt.

    Attributes:
        videos: of the prompt, in order.
        outputs: features of images and sounds by kind.
        raw: inputs of media that cannot be encoded without the prompt.
        remembered: number of media that had been seen before.
    """

    videos: list[Remembered]
    outputs: dict[str, BaseModelOutputWithPooling]
    raw: dict[str, torch.Tensor]
    remembered: int


class Looker:
    """Decodes and encodes media that the memory does not hold.

    Args:
        model: with its head.
        processor: of the model.
        memory: filled here.
        limits: what media may be.
    """

    def __init__(self, model: PreTrainedModel, processor: Any, memory: MediaMemory, limits: VideoLimits):
        self.model, self.processor, self.memory, self.limits = model, processor, memory, limits
        # What depends on no question; without it, features do not depend on one either.
        self.has_cache = hasattr(model, "get_video_cache")

    def look(self, plan: Plan) -> View:
        """Every medium of a plan, encoded.

        Raises:
            VideoError: a medium cannot be decoded.
        """
        before = self.memory.hits
        videos = [self.video(medium, plan, number) for number, medium in enumerate(plan.media["video"])]
        outputs, raw = {}, {}
        for kind in ("image", "audio"):
            encode = getattr(self.model, f"get_{kind}_features", None)
            names = [] if encode is None else [name for name in signature(encode).parameters if name in plan.raw]
            if not plan.media[kind]:
                continue
            if self.reads_prompt(kind):
                raw |= {name: self.to_model(value) for name, value in plan.raw.items() if name in names}
                continue
            entries = [
                self.still_medium(kind, medium, {name: plan.raw[name][number : number + 1] for name in names})
                for number, medium in enumerate(plan.media[kind])
            ]
            outputs[kind] = BaseModelOutputWithPooling(pooler_output=[entry.features for entry in entries])
        return View(videos, outputs, raw, self.memory.hits - before)

    def reads_prompt(self, kind: str) -> bool:
        """Whether media of a kind are encoded with the prompt: a Q-Former that reads it, or T5's encoder."""
        names = signature(self.model.get_image_features).parameters
        return kind == "image" and ("qformer_input_ids" in names or self.model.config.is_encoder_decoder)

    def still_medium(self, kind: str, medium: Medium, inputs: dict[str, torch.Tensor]) -> Remembered:
        """An image or a sound whose inputs are there."""
        key = (kind, medium.digest)
        entry = self.memory.find(key)
        if entry is None:
            inputs = {name: self.to_model(value) for name, value in inputs.items()}
            output = getattr(self.model, f"get_{kind}_features")(**inputs, return_dict=True)
            entry = Remembered(output.pooler_output[0].clone())
            self.memory.keep(key, entry)
        return entry

    def video(self, medium: Medium, plan: Plan, number: int) -> Remembered:
        """A video, or an image that stands among videos."""
        options = plan.options
        key = (medium.kind, "video", medium.digest, medium.start, medium.end, *sorted(options.items()))
        budget = self.budget(plan, number)
        entry = self.memory.find(key, lambda known: self.serves(known, budget))
        if entry is None:
            entry = self.encode(self.read(medium, options, budget), budget)
            self.memory.keep(key, entry)
        return entry

    @staticmethod
    def budget(plan: Plan, number: int) -> dict[str, torch.Tensor]:
        """What the prompt of a video leaves it, where the model asks."""
        return {name: plan.inputs[name][number : number + 1] for name in _BUDGET_INPUTS if name in plan.inputs}

    def serves(self, known: Remembered, budget: dict[str, torch.Tensor]) -> bool:
        """Whether what was made for another prompt is what this one's budget asks for.

        LongVU drops similar frames from long videos only, and what is long depends on the room that a prompt leaves.
        Frames that were kept can be dropped later; those that were dropped for a longer prompt are lost.
        """
        if not budget or len(known.features.frames) == known.features.num_frames:
            return True
        return known.features.num_frames >= self.frame_capacity(budget)

    def frame_capacity(self, budget: dict[str, torch.Tensor]) -> int:
        """From how many frames on a video of this prompt is thinned."""
        base = self.model.base_model
        (own,) = base.budgets(1, budget["num_prompt_tokens"], None, budget["context_budgets"])
        return base.frame_capacity(own)

    def read(self, medium: Medium, options: dict[str, Any], budget: dict[str, torch.Tensor]) -> dict[str, Any]:
        """The video processor's outputs for one video.

        Raises:
            VideoError: it cannot be decoded.
        """
        video = still(medium, self.limits) if medium.kind == "image" else KnownVideo.of(medium)
        if budget:  # a long video is looked at in a stream
            counts = [int(value) for value in budget.values()]
            options = options | {
                "select_frames": lambda chunks, frames: self.model.select_frames(chunks, frames, *counts)
            }
        limits = asdict(self.limits)
        return self.processor.video_processor(
            [video], return_tensors="pt", return_metadata=True, limits=limits, **options
        )

    def encode(self, inputs: dict[str, Any], budget: dict[str, torch.Tensor]) -> Remembered:
        """What the model makes of one video, whatever is asked."""
        (metadata,) = inputs.pop("video_metadata")
        encode = self.model.get_video_cache if self.has_cache else self.model.get_video_features
        sampled = int(inputs["num_sampled_frames"][0]) if "num_sampled_frames" in inputs else None
        given = {name: self.to_model(value) for name, value in (dict(inputs) | budget).items()}
        if self.has_cache:
            (features,) = encode(**given)
        else:
            features = encode(**given, return_dict=True).pooler_output[0].clone()
        return Remembered(features, metadata, sampled)

    def choose(self, plan: Plan, view: View) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Inputs of `generate`, and facts on each video with what the question made the model choose.

        Raises:
            ValueError: a prompt leaves no room for its videos.
        """
        inputs = {name: value.to(self.model.device) for name, value in plan.inputs.items()} | view.raw
        names = [facts["path"] for facts in plan.videos]
        videos = [describe(name, entry.metadata) for name, entry in zip(names, view.videos, strict=True)]
        outputs, caches = dict(view.outputs), [entry.features for entry in view.videos]
        if caches and hasattr(self.model, "expand_video_tokens"):
            expansion = self.model.expand_video_tokens(**inputs, video_cache=caches)
            for facts, entry, selection in zip(videos, view.videos, expansion.video_selection, strict=True):
                place = (facts["frames_indices"], facts["times"])
                facts |= describe_selection(entry.sampled_frames, selection, *place)
            outputs |= expansion.mm_encoder_outputs
            inputs = dict(expansion.text)
        elif caches and self.has_cache:
            question = {name: inputs.get(name) for name in ("sampler_input_ids", "sampler_attention_mask")}
            choice = self.model.select_frames(caches, **question)
            for number, (facts, cache) in enumerate(zip(videos, caches, strict=True)):
                place = (facts["frames_indices"], facts["times"], len(cache.candidates))
                facts |= self.processor.describe_choice(choice, number, *place)
            inputs |= {"video_cache": caches, "frame_indices": choice.frame_indices}
        elif caches:
            outputs["video"] = BaseModelOutputWithPooling(pooler_output=caches)
        if outputs:
            inputs["mm_encoder_outputs"] = outputs
        return inputs, videos

    def to_model(self, value: torch.Tensor) -> torch.Tensor:
        """On the model's device; floating-point numbers in its dtype."""
        return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)


def describe_selection(
    sampled_frames: int | None, selection: Any, frames_indices: Sequence[int], times: Sequence[float]
) -> dict[str, Any]:
    """What a model that drops what repeats kept of one video.

    Args:
        sampled_frames: frames before any was dropped.
        selection: a `VideoSelection` of the model.
        frames_indices: source frames that the model was given (the metadata's).
        times: their seconds.
    """
    kept = selection.frames.tolist()
    raised = () if selection.highres_frames is None else set(selection.highres_frames.tolist())
    in_full = [not selection.lowres or place in raised for place in range(len(kept))]
    return {
        "sampled_frames": sampled_frames,
        "kept_frames": len(kept),
        "kept_indices": [frames_indices[position] for position in kept],
        "kept_times": [times[position] for position in kept if times],  # an image has none
        "kept_in_full": in_full,
        "kept_tokens": selection.keep.sum(-1).tolist(),
        "stage": selection.stage,
        "full_resolution_frames": sum(in_full),
        "visual_tokens": selection.num_tokens,
    }


__all__ = ["Looker", "View", "describe_selection"]
