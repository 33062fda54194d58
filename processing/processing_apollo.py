# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Apollo's processor: a video is one placeholder that becomes a dated list of clips, 128 tokens each."""

from collections.abc import Sequence
from typing import Any

from transformers.processing_utils import MultiModalData
from transformers.video_utils import VideoMetadata

from .chat_templates_apollo import chat_template as default_chat_template
from .processing_video_lmm import VideoLmmProcessor


class ApolloProcessor(VideoLmmProcessor):
    """Tokenizer, video processor and image processor of Apollo.

    Args:
        image_processor: an [`ApolloImageProcessor`].
        tokenizer: with both placeholders as tokens of their own.
        video_processor: an [`ApolloVideoProcessor`]; it knows the clips' length and cost.
        chat_template: by default the one Apollo was trained with.
        image_token: placeholder of an image.
        video_token: placeholder of a video.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        video_processor: Any = None,
        chat_template: str | dict[str, str] | None = None,
        image_token: str = "<|image_token|>",
        video_token: str = "<|video_token|>",
    ):
        self.image_token, self.video_token = image_token, video_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(video_token)
        chat_template = chat_template or default_chat_template(image_token, video_token)
        super().__init__(image_processor, tokenizer, video_processor, chat_template=chat_template)

    @property
    def tokens_per_clip(self) -> int:
        """Visual tokens of one clip or image."""
        return self.video_processor.tokens_per_clip

    def num_video_tokens(self, metadata: VideoMetadata, num_videos: int = 1) -> int:
        """Visual tokens of a video; the dates of its clips come on top.

        Args:
            metadata: frame count and frame rate.
            num_videos: videos that share the prompt, and with it the context.
        """
        return self.video_processor.num_clips(metadata, num_videos) * self.tokens_per_clip

    def replace_video_token(
        self, video_inputs: dict[str, Any], video_idx: int, clip_duration: float | None = None, **kwargs: Any
    ) -> str:
        """The preamble that stands for one video, with the placeholders of all its clips."""
        metadata, clips = video_inputs["video_metadata"][video_idx], video_inputs["num_clips"][video_idx]
        duration = self.video_processor.clip_duration if clip_duration is None else clip_duration
        tokens = self.video_token * self.tokens_per_clip
        return self.video_processor.preamble(metadata, metadata.frames_indices, clips, duration, tokens)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one image: a clip without a date."""
        return self.image_token * self.tokens_per_clip

    def _process_videos(self, videos: list[Any], **kwargs: Any) -> tuple[dict[str, list], list[str]]:
        merged, replacements = super()._process_videos(videos, **(kwargs | {"return_metadata": True}))
        if kwargs.get("clip_duration") is not None:
            replacements = [
                self.replace_video_token(merged, index, clip_duration=kwargs["clip_duration"])
                for index in range(len(replacements))
            ]
        return merged, replacements

    def _get_num_multimodal_tokens(
        self, image_sizes: Sequence | None = None, video_sizes: Sequence | None = None, **kwargs: Any
    ) -> MultiModalData:
        """Tokens of images, and of videos given as (sampled frames, height, width)."""
        tokens, per_clip = self.tokens_per_clip, self.video_processor.frames_per_clip
        return MultiModalData(
            num_image_tokens=None if image_sizes is None else [tokens] * len(image_sizes),
            num_image_patches=None if image_sizes is None else [1] * len(image_sizes),
            num_video_tokens=None
            if video_sizes is None
            else [-(-frames // per_clip) * tokens for frames, *_ in video_sizes],
        )


__all__ = ["ApolloProcessor"]
