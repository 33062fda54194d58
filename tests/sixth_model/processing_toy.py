# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Toy's processor: a video costs as many tokens as a frame has patches. Step 4 of the checklist."""

from collections.abc import Sequence
from typing import Any

from transformers.processing_utils import MultiModalData
from transformers.video_utils import VideoMetadata

from .processing_video_lmm import VideoLmmProcessor


CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}ask "
    "{%- for part in message.content -%}"
    "{%- if part.type == 'video' -%}<video> {% else -%}{{ part.text ~ ' ' }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- else -%}answer {% generation %}{{ message.content }}{% endgeneration %}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}answer{%- endif -%}"
)


class ToyProcessor(VideoLmmProcessor):
    """Tokenizer and video processor of the toy."""

    def __init__(
        self,
        tokenizer: Any = None,
        video_processor: Any = None,
        chat_template: str | None = None,
        tokens_per_video: int = 4,
    ):
        self.tokens_per_video = tokens_per_video
        self.video_token = "<video>"
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        super().__init__(tokenizer, video_processor, chat_template=chat_template or CHAT_TEMPLATE)

    def num_video_tokens(self, metadata: VideoMetadata | None = None) -> int:
        """Visual tokens of a video."""
        return self.tokens_per_video

    def replace_video_token(self, video_inputs: dict[str, Any], video_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one video."""
        return self.video_token * self.tokens_per_video

    def _get_num_multimodal_tokens(self, video_sizes: Sequence | None = None, **kwargs: Any) -> MultiModalData:
        counts = None if video_sizes is None else [self.tokens_per_video] * len(video_sizes)
        return MultiModalData(num_video_tokens=counts)


__all__ = ["ToyProcessor"]
