# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The prompt of a conversation, before any video is decoded: its tokens, and the frames that will be looked at."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature

from ..errors import VideoLmmError
from ..processing.video_errors import VideoLimits
from ..processing.video_inputs import AnimationVideo, FileVideo, FrameMetadata, accept_videos, open_video
from ..processing.video_processing_longvu import StillImage
from .conversation import Conversation, KnownVideo, Medium


# Inputs that stand for media; all others of a processor are the prompt's.
IMAGE_INPUTS = ("pixel_values", "pixel_values_internvideo2", "pixel_values_dinov2", "image_sizes")
AUDIO_INPUTS = ("input_features",)
_EMPTY = "pixel_values_videos"
# Videos whose index is kept, because every turn of a conversation asks for it again.
_KNOWN_VIDEOS = 256


@dataclass(frozen=True)
class ReadingOptions:
    """How to look at videos; what is None stays as the model's paper has it.

    Attributes:
        num_frames: frames per video.
        fps: frames per second of video.
        context_length: tokens that prompt, videos and answer may fill, where a model has such a budget.
        template: name of one of the processor's chat templates.
        audio: whether the model hears each video's own sound too.
    """

    num_frames: int | None = None
    fps: float | None = None
    context_length: int | None = None
    template: str | None = None
    audio: bool = False

    @property
    def sampling(self) -> dict[str, Any]:
        """Options of the video processor."""
        return {name: value for name in ("num_frames", "fps") if (value := getattr(self, name)) is not None}


@dataclass
class Plan:
    """What an answer costs.

    Attributes:
        inputs: of the model, without media.
        media: by kind, in the order of the prompt.
        raw: inputs of images and sounds, which are decoded already.
        videos: facts on each video: `path`, `duration` in seconds, `num_frames`, `frames_indices` and their `times`.
        visual_tokens: of all media in the prompt; sounds count too.
        at_most: whether what the videos show decides on their number, so that there may be fewer.
        options: of the video processor, beyond its own.
    """

    inputs: dict[str, torch.Tensor]
    media: dict[str, list[Medium | StillImage]]
    raw: dict[str, torch.Tensor]
    videos: list[dict[str, Any]]
    visual_tokens: int
    text_tokens: int
    at_most: bool
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, media included."""
        return self.text_tokens + self.visual_tokens


class Planner:
    """Writes prompts with a processor that nobody else uses.

    Args:
        source: name of the model, for messages.
        processor: of the model.
        model: for what its configuration says.
        limits: what media may be.
    """

    def __init__(self, source: str, processor: Any, model: torch.nn.Module, limits: VideoLimits):
        self.source, self.processor, self.model, self.limits = source, processor, model, limits
        self.index = VideoIndex(processor.video_processor, limits)
        self.processor = copy.copy(processor)
        self.processor.video_processor = self.index

    def plan(self, conversation: Conversation, reading: ReadingOptions) -> Plan:
        """See [`Engine.plan`]."""
        check_template(self.source, self.processor, reading.template)
        self.check_text(conversation)
        messages, media = self.write_messages(conversation, reading)
        options = {"processor_kwargs": reading.sampling} if reading.sampling else {}
        text = self.processor.apply_chat_template(
            messages, chat_template=reading.template, add_generation_prompt=True, **options
        )
        inputs = self.process(text, media, reading)
        metadata = inputs.pop("video_metadata", [])
        raw = {name: inputs.pop(name) for name in (*IMAGE_INPUTS, *AUDIO_INPUTS) if name in inputs}
        inputs.pop(_EMPTY, None)
        inputs.pop("num_clips", None)
        at_most = hasattr(self.model, "expand_video_tokens") and bool(metadata)
        length, visual = inputs["input_ids"].shape[1], self.count_placeholders(inputs["input_ids"])
        text_tokens = length - visual
        if at_most:
            # Says now, and not when everything is decoded, that the text leaves no room for videos.
            counts = (inputs[name] for name in ("num_prompt_tokens", "num_text_tokens", "context_budgets"))
            self.model.base_model.budgets(len(metadata), *counts)
            room = self.processor.context_length if reading.context_length is None else reading.context_length
            most = sum(self.processor.num_video_tokens(video) for video in metadata)
            visual = min(visual - len(metadata) + most, max(visual, room - self.processor.reserve - text_tokens))
        names = [getattr(video, "name", "image") for video in media["video"]]
        return Plan(
            inputs=dict(inputs),
            media=media,
            raw=raw,
            videos=[describe(*pair) for pair in zip(names, metadata, strict=True)],
            visual_tokens=visual,
            text_tokens=text_tokens,
            at_most=at_most,
            options=self.options_of(len(metadata), reading),
        )

    def write_messages(
        self, conversation: Conversation, reading: ReadingOptions
    ) -> tuple[list[dict[str, Any]], dict[str, list]]:
        """Messages for the chat template, and their media by kind."""
        kinds = {medium.kind for medium in conversation.media}
        # Where both share a placeholder, only media of one kind keep their order in the prompt.
        shared = self.processor.image_token == self.processor.video_token and {"image", "video"} <= kinds
        messages, media = [], {"image": [], "video": [], "audio": []}
        for role, parts in conversation.messages:
            content: list[dict[str, Any]] = []
            for part in parts:
                if isinstance(part, str):
                    content.append({"type": "text", "text": part})
                    continue
                if part.kind == "audio" or (part.kind == "video" and reading.audio):
                    check_hearing(self.source, self.model)
                    media["audio"].append(part)
                    content.append({"type": "audio"})
                if part.kind == "video":
                    media["video"].append(part)
                    content.append({"type": "video", "video": KnownVideo.of(part)})
                elif part.kind == "image":
                    media["video" if shared else "image"].append(part)
                    content.append({"type": "video" if shared else "image"})
            messages.append({"role": role, "content": content})
        return messages, media

    def process(self, text: str, media: dict[str, list[Medium]], reading: ReadingOptions) -> BatchFeature:
        """The processor's call, with the videos' index in the place of their pixels."""
        given: dict[str, Any] = dict(reading.sampling)
        if media["image"]:
            given["images"] = [medium.picture(self.limits) for medium in media["image"]]
        if media["audio"]:
            given["audio"] = [medium.payload for medium in media["audio"]]
        if media["video"]:
            given["videos"] = [self.video_of(medium) for medium in media["video"]]
            given["return_metadata"] = True
        if reading.context_length is not None:
            check_context_length(self.source, self.processor, self.index)
            given["context_length"] = reading.context_length
        return self.processor(text=[text], return_tensors="pt", **given)

    def video_of(self, medium: Medium) -> Any:
        """A video, or an image as a video of one frame."""
        return still(medium, self.limits) if medium.kind == "image" else KnownVideo.of(medium)

    def options_of(self, num_videos: int, reading: ReadingOptions) -> dict[str, Any]:
        """Options with which a video is read alone as it would be read beside the others of its prompt."""
        options = reading.sampling
        if reading.context_length is not None and hasattr(self.index, "context_length"):
            options["context_length"] = reading.context_length
        alone = self.index.sampling_options(1, **options)
        together = self.index.sampling_options(max(1, num_videos), **options)
        return options | {name: value for name, value in together.items() if value != alone[name]}

    def check_text(self, conversation: Conversation) -> None:
        """Refuses text that would be taken for a medium.

        Raises:
            VideoLmmError: naming the placeholder.
        """
        names = ("image_token", "video_token", "audio_token")
        tokens = {getattr(self.processor, name, None) for name in names} - {None}
        for _, parts in conversation.messages:
            for token in tokens:
                if any(isinstance(part, str) and token in part for part in parts):
                    raise VideoLmmError(
                        f"A message holds {token}, which stands for a medium. Leave it out of the text."
                    )

    def count_placeholders(self, input_ids: torch.Tensor) -> int:
        """Tokens of a prompt that media take."""
        names = ("image_token_id", "video_token_id", "audio_token_id")
        ids = {getattr(self.processor, name, None) for name in names} - {None}
        return int(torch.isin(input_ids, torch.tensor(sorted(ids))).sum())


class VideoIndex:
    """Stands in a processor for its video processor, and answers with metadata and chosen frames, without pixels."""

    def __init__(self, video_processor: Any, limits: VideoLimits):
        self.video_processor, self.limits = video_processor, limits
        self._known: OrderedDict[str, tuple[FrameMetadata, Sequence[float] | None]] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "video_processor":
            raise AttributeError(name)
        return getattr(self.video_processor, name)

    def __call__(self, videos: Any, **kwargs: Any) -> BatchFeature:
        videos = accept_videos(videos)
        known = {name: value for name, value in kwargs.items() if name in self.valid_kwargs.__annotations__}
        for name in ("return_tensors", "return_metadata", "video_metadata"):
            known.pop(name, None)
        options = self.sampling_options(len(videos), **known)
        metadata = [self.describe(video, options) for video in videos]
        data = {"video_metadata": metadata, _EMPTY: [torch.zeros(0)] * len(videos)}
        if hasattr(self, "frames_per_clip"):
            data["num_clips"] = [len(video.frames_indices) // self.frames_per_clip for video in metadata]
        return BatchFeature(data)

    def describe(self, video: Any, options: dict[str, Any]) -> FrameMetadata:
        """Metadata of a video with the frames that would be looked at and their times."""
        if isinstance(video, KnownVideo):
            found, times = self.open(video)
        else:  # an image among videos
            found, times = FrameMetadata(total_num_frames=1, height=video.shape[1], width=video.shape[2]), None
        trimming = getattr(video, "trimming", {})
        indices = [int(index) for index in self.sample_frames(found, **(options | trimming))]
        metadata = copy.copy(found)
        metadata.frames_indices = indices
        metadata.frame_times = None if times is None else [float(times[index]) for index in indices]
        return metadata

    def open(self, video: KnownVideo) -> tuple[FrameMetadata, Sequence[float] | None]:
        """Metadata of a file and the times of all its frames; a file that is known is not opened again."""
        if video.digest not in self._known:
            with open_video(video, None, channels_first=False, limits=self.limits) as source:
                times = None
                if isinstance(source, FileVideo):
                    times = source.reader.times_of(range(source.metadata.total_num_frames))
                elif isinstance(source, AnimationVideo):
                    times = list(source.animation.times)
                self._known[video.digest] = (source.metadata, times)
        self._known.move_to_end(video.digest)
        while len(self._known) > _KNOWN_VIDEOS:
            self._known.popitem(last=False)
        return self._known[video.digest]


def still(medium: Medium, limits: VideoLimits) -> StillImage:
    """An image as a video of one frame, (1, height, width, 3)."""
    return np.asarray(medium.picture(limits))[None].view(StillImage)


def describe(path: str, metadata: Any) -> dict[str, Any]:
    """Facts on one video: duration in seconds, frame counts, and which frames were taken when."""
    timed = metadata.fps is not None or getattr(metadata, "frame_times", None) is not None
    return {
        "path": path,
        "duration": metadata.duration,
        "num_frames": metadata.total_num_frames,
        "frames_indices": list(metadata.frames_indices),
        "times": [round(float(seconds), 3) for seconds in metadata.timestamps] if timed else [],
    }


def check_template(source: str, processor: Any, template: str | None) -> None:
    """Refuses the name of a prompt that a model does not have.

    Raises:
        VideoLmmError: naming those that it has.
    """
    known = processor.chat_template
    names = sorted(known) if isinstance(known, dict) else []
    if template is not None and template not in names:
        raise VideoLmmError(f"{source} has no prompt {template!r}. Its prompts: {', '.join(names) or 'one'}.")


def check_hearing(source: str, model: Any) -> None:
    """Refuses sound where nobody listens.

    Raises:
        VideoLmmError: the model has no audio branch.
    """
    if getattr(model.config, "audio_config", None) is None:
        raise VideoLmmError(
            f"{source} has no audio branch. Ask without sound, or convert a Video-LLaMA checkpoint with its audio "
            "files (`video-lmms convert video_llama --help`)."
        )


def check_context_length(source: str, *parts: Any) -> None:
    """Refuses a token budget where neither model nor processors have one.

    Raises:
        VideoLmmError: the number of visual tokens is fixed.
    """
    if not any(hasattr(part, "context_length") for part in parts):
        raise VideoLmmError(
            f"{source} spends the same number of tokens on every video, so --context-length does not apply. Use "
            "--num-frames if the model takes any number of frames."
        )


__all__ = [
    "Plan",
    "Planner",
    "ReadingOptions",
    "check_context_length",
    "check_hearing",
    "check_template",
    "describe",
    "still",
]
