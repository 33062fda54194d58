# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""From files and a question to an answer, in steps that report their progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature

from ..apps.encoding import describe_selection
from ..apps.planning import check_context_length, check_hearing, check_template, describe
from ..apps.streaming import AnswerStreamer
from ..hub.checks import given_length
from ..hub.loading import load, parse_dtype
from ..processing.video_inputs import accept_video
from .console import Advance
from .profiling import patched


# (label, total, unit) -> context manager that gives a function to report steps with.
Progress = Callable[[str, int, str], AbstractContextManager[Advance]]


@dataclass
class Prompt:
    """What the model is given.

    Attributes:
        question: the user's.
        inputs: tokens and pixels, on the CPU.
        videos: facts on each video for the JSON output.
        text: the whole prompt, with one placeholder per medium.
    """

    question: str
    inputs: BatchFeature
    videos: list[dict[str, Any]]
    text: str = ""

    @property
    def sampled_frames(self) -> list[int]:
        """Frames of each video before the model dropped any, where it drops some."""
        return self.inputs["num_sampled_frames"].tolist()

    @property
    def num_frames(self) -> int:
        """Frames that the vision tower will see."""
        return self.inputs["pixel_values_videos"].shape[:-3].numel()


class Answerer:
    """A loaded model that answers questions about videos.

    Args:
        source: folder, Hub id or shipped name.
        device: see `hub.load`.
        dtype: name of a floating-point dtype; None keeps that of the files.
        trust_remote_code: see `hub.load`.

    Raises:
        VideoLmmError: the model cannot be loaded, or the dtype is unknown.
    """

    def __init__(self, source: str, device: str | None, dtype: str | None, trust_remote_code: bool):
        start = time.perf_counter()
        wanted = None if dtype is None else parse_dtype(dtype)
        self.model, self.processor = load(source, device=device, dtype=wanted, trust_remote_code=trust_remote_code)
        self.source = source
        self.seconds = {"load": time.perf_counter() - start}

    def read(
        self,
        videos: list[str],
        question: str,
        *,
        template: str | None = None,
        num_frames: int | None = None,
        context_length: int | None = None,
        audio: bool = False,
        spans: Sequence[tuple[float | None, float | None]] | None = None,
        template_options: Mapping[str, Any] | None = None,
        video_options: Mapping[str, Any] | None = None,
        progress: Progress,
    ) -> Prompt:
        """Decodes the videos and writes the prompt.

        Args:
            videos: paths or URLs.
            question: the user's.
            template: name of one of the processor's chat templates; None takes its default.
            num_frames: frames per video, in place of the model's own rule.
            context_length: tokens that prompt, videos and answer may fill, in place of the model's own number.
            progress: how to report decoded frames.
            audio: whether the model hears each video's own sound too.
            spans: start and end in seconds of the part of each video that is seen; None for either leaves it open.
            template_options: arguments of the chat template.
            video_options: options of the processor, such as a rule for choosing frames.

        Raises:
            VideoError: a video, or its sound, cannot be read.
            VideoLmmError: there is no such template, the model cannot hear, or it spends the same on every video.
        """
        start = time.perf_counter()
        check_template(self.source, self.processor, template)
        if audio:
            check_hearing(self.source, self.model)
        kinds = ("audio", "video") if audio else ("video",)
        spans = spans or [(None, None)] * len(videos)
        parts = [{"path": video} | trimming(*span) for video, span in zip(videos, spans, strict=True)]
        content = [{"type": kind, **part} for part in parts for kind in kinds]
        content.append({"type": "text", "text": question})
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            add_generation_prompt=True,
            **(template_options or {}),
        )
        options: dict[str, Any] = dict(video_options or {}) | (
            {} if num_frames is None else {"num_frames": num_frames}
        )
        if audio:
            options["audio"] = videos
        if context_length is not None:
            check_context_length(self.source, self.processor, self.processor.video_processor)
            options["context_length"] = context_length
        if hasattr(self.model, "select_frames"):
            options["select_frames"] = self.model.select_frames  # a long video is looked at in a stream
        with reported_reading(self.processor, len(videos), progress):
            trimmed = [accept_video(video, *span) for video, span in zip(videos, spans, strict=True)]
            inputs = self.processor(text=text, videos=trimmed, return_tensors="pt", return_metadata=True, **options)
        metadata = inputs.pop("video_metadata")
        self.seconds["read"] = time.perf_counter() - start
        return Prompt(question, inputs, [describe(*pair) for pair in zip(videos, metadata, strict=True)], text)

    def answer(
        self, prompt: Prompt, max_new_tokens: int, *, progress: Progress, show: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """Answers greedily.

        Args:
            prompt: from `read`.
            max_new_tokens: longest answer.
            progress: how to report encoded frames.
            show: receives the text piece by piece.

        Returns:
            The object that `--json` prints.
        """
        start = time.perf_counter()
        inputs = prompt.inputs.to(self.model.device, self.model.dtype)
        num_frames = prompt.num_frames
        decode = partial(self.processor.tokenizer.decode, skip_special_tokens=True)
        streamer = AnswerStreamer(decode, show, [getattr(self.processor, "stop_string", "")])
        began: list[float] = []
        videos = prompt.videos
        with ExitStack() as encoding, torch.no_grad():
            if hasattr(self.processor, "describe_choice"):
                inputs, num_frames = self.choose_frames(prompt, inputs)
            advance = encoding.enter_context(progress("encoding", num_frames, "frames"))
            encoding.enter_context(encoded_frames(self.model, advance))

            def note_first_token() -> None:
                began.append(time.perf_counter())
                encoding.close()  # the bar ends before text is printed

            streamer.on_first_token = note_first_token
            if hasattr(self.model, "expand_video_tokens"):
                expansion = self.model.expand_video_tokens(**inputs)
                inputs = {**expansion.text, "mm_encoder_outputs": expansion.mm_encoder_outputs}
                sizes = zip(videos, prompt.sampled_frames, expansion.video_selection, strict=True)
                videos = [
                    video | describe_selection(*facts, video["frames_indices"], video["times"])
                    for video, *facts in sizes
                ]
            output = self.model.generate(
                **inputs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, streamer=streamer
            )
        new_ids = output[0, given_length(self.model, inputs) :]
        end = time.perf_counter()
        self.seconds |= {"first_token": began[0] - start, "other_tokens": end - began[0]}
        return {
            "answer": self.processor.decode(new_ids, skip_special_tokens=True).strip(),
            "question": prompt.question,
            "model": self.source,
            "videos": videos,
            "prompt_tokens": inputs["input_ids"].shape[1],
            "new_tokens": len(new_ids),
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
        }

    def choose_frames(self, prompt: Prompt, inputs: BatchFeature) -> tuple[dict[str, Any], int]:
        """For models whose frames the question chooses: chooses them, and adds frames, spans and scores to the facts.

        Returns:
            inputs for `generate` with the choice made, and how many frames the vision tower will see.
        """
        inputs = dict(inputs)
        pixels = {name: inputs.pop(name) for name in ("pixel_values_videos", "flow_pixel_values", "num_flow_frames")}
        cache = self.model.get_video_cache(**pixels)
        question = {name: inputs.get(name) for name in ("sampler_input_ids", "sampler_attention_mask")}
        choice = self.model.select_frames(cache, **question)
        candidates = pixels["pixel_values_videos"].shape[1]
        for number, facts in enumerate(prompt.videos):
            facts |= self.processor.describe_choice(
                choice, number, facts["frames_indices"], facts["times"], candidates
            )
        distinct = sum(len(set(frames)) for frames in choice.frame_indices.tolist())
        return inputs | {"video_cache": cache, "frame_indices": choice.frame_indices}, distinct


@contextmanager
def reported_reading(processor: Any, num_videos: int, progress: Progress) -> Iterator[None]:
    """Reports each frame that passes the video processor's pixel chain, which runs while the video is decoded.

    How many to expect is known when the first video's frames are chosen; the others are taken to be like it.
    """
    video_processor = processor.video_processor
    choose, plan = video_processor.sample_frames, video_processor.frame_transforms
    advance: list[Advance] = []
    with ExitStack() as bar:

        def reporting_choice(*args: Any, **kwargs: Any) -> list[int]:
            indices = choose(*args, **kwargs)
            if not advance:
                advance.append(bar.enter_context(progress("reading", len(indices) * num_videos, "frames")))
            return indices

        def reporting_plan(*args: Any, **kwargs: Any) -> list[Callable[[np.ndarray], np.ndarray]]:
            return [reporting(transform) for transform in plan(*args, **kwargs)]

        def reporting(transform: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
            def reported(frame: np.ndarray) -> np.ndarray:
                advance[0](1)
                return transform(frame)

            return reported

        with patched(video_processor, sample_frames=reporting_choice, frame_transforms=reporting_plan):
            yield


@contextmanager
def encoded_frames(model: torch.nn.Module, advance: Advance) -> Iterator[None]:
    """Reports the frames that each call of the vision tower has encoded."""

    def report(module: torch.nn.Module, args: tuple[torch.Tensor, ...], output: Any) -> None:
        advance(args[0].shape[:-3].numel())

    hook = model.base_model.vision_tower.register_forward_hook(report)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def silently(label: str, total: int, unit: str) -> Iterator[Advance]:
    """Progress that nobody sees."""
    yield lambda steps: None


def trimming(start: float | None, end: float | None) -> dict[str, float]:
    """The part of a video as a chat's content part names it."""
    return {name: value for name, value in (("start", start), ("end", end)) if value is not None}
