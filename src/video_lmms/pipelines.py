# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The Hub's task `video-text-to-text` as a pipeline, which transformers itself does not have."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForMultimodalLM
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.any_to_any import AnyToAnyPipeline

from .processing.video_inputs import accept_videos


TASK = "video-text-to-text"


class VideoTextToTextPipeline(AnyToAnyPipeline):
    """Questions about videos:

        pipe = pipeline("video-text-to-text", model="tiny-pllava-folder")
        pipe("clip.mp4", text="What moves?")                        # [{"generated_text": "..."}]
        pipe(["a.mp4", "b.mp4"], text=["What moves?", "How far?"])    # one answer each
        pipe([{"role": "user", "content": [...]}])                  # a chat, as the stock pipelines take it

    Every question is put into the model's chat template. Answers come without the prompt, unless
    `return_full_text=True`.
    """

    def __call__(self, videos: Any, text: str | list[str] | None = None, **kwargs: Any) -> list[Any]:
        """Answers.

        Args:
            videos: a video in any form (path, URL, bytes, array, list of frames), a list of them, or one or several
                chats that bring their own.
            text: the question, or one per video.
            kwargs: of the stock pipeline, such as `max_new_tokens`, `generate_kwargs` and `processor_kwargs`.

        Returns:
            for one video or chat a list with one `{"generated_text": ...}`, for several a list of such lists.

        Raises:
            ValueError: a question is missing, or there are not as many as videos.
            VideoError: a video is refused or cannot be decoded.
        """
        kwargs = {"return_full_text": False} | kwargs
        if text is None:
            if not is_chat(videos) and not (isinstance(videos, (list, tuple)) and all(map(is_chat, videos))):
                raise ValueError("A video needs a question: pass `text=`, or a chat that holds both.")
            return super().__call__(text=videos, **kwargs)
        accepted = accept_videos(videos)
        several = isinstance(videos, (list, tuple)) and len(accepted) == len(videos)
        questions = [text] * len(accepted) if isinstance(text, str) else list(text)
        if len(questions) != len(accepted):
            raise ValueError(f"Got {len(accepted)} videos and {len(questions)} questions: pass one per video, or one.")
        chats = [ask(video, question) for video, question in zip(accepted, questions, strict=True)]
        return super().__call__(text=chats if several else chats[0], **kwargs)


def ask(video: Any, question: str) -> list[dict[str, Any]]:
    """A chat of one question about one video."""
    return [{"role": "user", "content": [{"type": "video", "video": video}, {"type": "text", "text": question}]}]


def is_chat(value: Any) -> bool:
    """Whether a value is a list of messages."""
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], dict) and "role" in value[0]


def register() -> None:
    """Makes `transformers.pipeline` know the task, unless it knows one of this name already."""
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(
            TASK, pipeline_class=VideoTextToTextPipeline, pt_model=AutoModelForMultimodalLM, type="multimodal"
        )


__all__ = ["VideoTextToTextPipeline", "register"]
