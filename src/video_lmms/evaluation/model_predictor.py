# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""From a sample to a model's answer, with all that a record tells about it."""

from __future__ import annotations

import time
from typing import Any

from ..cli.answering import Answerer, Prompt, silently
from ..processing.video_errors import VideoError
from ..processing.video_images import image_files
from ..processing.video_inputs import open_video
from .longvu import Subtitle, select_subtitles, shorten_subtitles
from .predictor import Prepared
from .prompts import find_style
from .records import SampleRecord
from .tasks.base import Sample, Task


class ModelPredictor:
    """A loaded model that answers greedily, a sample at a time.

    Args:
        answerer: the model.
        style: name of a prompt style; None takes that of the model's paper.
        max_new_tokens: longest answer; None takes what suits the kind of task.
        num_frames: frames per video, in place of the model's own rule.
        context_length: tokens that prompt, video and answer may fill, in place of the model's own number.
    """

    # Letters and words are short; open answers and captions are cut where the originals cut them.
    LENGTHS = {"choice": 16, "word": 4, "grounding": 32, "open": 200, "chat": 200, "caption": 256}

    def __init__(
        self,
        answerer: Answerer,
        style: str | None = None,
        max_new_tokens: int | None = None,
        num_frames: int | None = None,
        context_length: int | None = None,
    ):
        self.answerer = answerer
        self.style = find_style(style, answerer.model.config.model_type)
        self.max_new_tokens, self.num_frames, self.context_length = max_new_tokens, num_frames, context_length
        config = answerer.model.config
        names = {name for settings in self.style.settings.values() for name in settings}
        self.own_settings = {name: getattr(config, name) for name in sorted(names) if hasattr(config, name)}
        templates = answerer.processor.chat_template
        self.templates = templates if isinstance(templates, dict) else {"default": templates}

    def describe(self) -> dict[str, Any]:
        return {
            "prompts": self.style.id,
            "max_new_tokens": self.max_new_tokens,
            "num_frames": self.num_frames,
            "context_length": self.context_length,
            "dtype": str(self.answerer.model.dtype).removeprefix("torch."),
        }

    def prepare(self, task: Task, sample: Sample) -> Prepared:
        start = time.perf_counter()
        self.apply_settings(task)
        try:
            options = self.video_options(task, sample)
            asked = self.style.ask(task, sample, self.spoken(sample, options), self.templates)
            prompt = self.answerer.read(
                [str(sample.video)],
                asked.text,
                template=asked.template,
                template_options=asked.template_options,
                num_frames=self.num_frames,
                context_length=self.context_length,
                spans=[(sample.start, sample.end)],
                video_options=options,
                progress=silently,
            )
        except VideoError as error:
            return Prepared(sample, seconds=time.perf_counter() - start, error=str(error))
        return Prepared(sample, prompt, time.perf_counter() - start)

    def video_options(self, task: Task, sample: Sample) -> dict[str, Any]:
        """The benchmark's own frames, where the model's paper has some, and the frame rate of a folder of frames."""
        known = self.answerer.processor.video_processor.valid_kwargs.__annotations__
        wanted = self.style.video_options.get(task.name, {}) if self.num_frames is None else {}
        options = {name: value for name, value in wanted.items() if name in known}
        if "folder_fps" in sample.details and sample.video.is_dir():
            frames = len(image_files(sample.video))
            options["video_metadata"] = [{"fps": sample.details["folder_fps"], "total_num_frames": frames}]
        return options

    def spoken(self, sample: Sample, options: dict[str, Any]) -> list[str] | None:
        """What is said at the frames that the model will see; None where the task gives no subtitles."""
        if sample.subtitles is None:
            return None
        video_processor = self.answerer.processor.video_processor
        if self.num_frames is not None:
            options = options | {"num_frames": self.num_frames}
        with open_video(str(sample.video), None, channels_first=False) as source:
            indices = video_processor.sample_frames(source.metadata, **video_processor.sampling_options(**options))
            fps = source.metadata.fps
        lines = select_subtitles([Subtitle(*line) for line in sample.subtitles], indices, fps)
        tokens = len(self.answerer.processor.tokenizer("\n".join(lines))["input_ids"])
        return shorten_subtitles(lines, tokens)

    def answer(self, task: Task, prepared: Prepared) -> SampleRecord:
        timing = {"prepare_s": round(prepared.seconds, 4), "generate_s": 0.0}
        if prepared.prompt is None:
            return {"prompt": "", "answer": "", "frames": [], "times": [], "timing": timing, "error": prepared.error}
        self.apply_settings(task)
        start = time.perf_counter()
        length = self.max_new_tokens or self.LENGTHS[task.kind]
        result = self.answerer.answer(prepared.prompt, length, progress=silently)
        timing["generate_s"] = round(time.perf_counter() - start, 4)
        videos = result["videos"]
        chosen = [{name: value for name, value in video.items() if name not in SAMPLED} for video in videos]
        return {
            "prompt": prepared.prompt.text,
            "answer": result["answer"],
            "frames": [video["frames_indices"] for video in videos],
            "times": [video["times"] for video in videos],
            **({"chosen": chosen} if any(chosen) else {}),
            "num_video_tokens": self.num_video_tokens(prepared.prompt, videos),
            "timing": timing,
        }

    def apply_settings(self, task: Task) -> None:
        """Gives the model the benchmark's own settings, where its paper has some, and else those it came with."""
        config, own = self.answerer.model.config, self.style.settings.get(task.name, {})
        for name, value in self.own_settings.items():
            setattr(config, name, own.get(name, value))

    def num_video_tokens(self, prompt: Prompt, videos: list[dict[str, Any]]) -> int:
        """Visual tokens that the language model read: what it kept, or the placeholders of the prompt."""
        if any("visual_tokens" in video for video in videos):
            return sum(video["visual_tokens"] for video in videos)
        return int((prompt.inputs["input_ids"] == self.answerer.model.config.video_token_id).sum())


# What is told of every video, whatever the model chose in it.
SAMPLED = ("path", "duration", "num_frames", "frames_indices", "times")
