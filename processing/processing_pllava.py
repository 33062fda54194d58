# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""PLLaVA's processor: every medium is one `<image>` in the prompt and `prod(pooling_shape)` tokens in the model."""

from collections.abc import Sequence
from math import prod
from typing import Any

from transformers.processing_utils import MultiModalData
from transformers.video_utils import VideoMetadata

from .chat_templates_pllava import chat_templates
from .processing_one_placeholder import OnePlaceholderProcessor


class PllavaProcessor(OnePlaceholderProcessor):
    """Tokenizer, video processor and image processor of PLLaVA.

    Args:
        image_processor: a [`PllavaImageProcessor`].
        tokenizer: with `<image>` as one token.
        video_processor: a [`PllavaVideoProcessor`].
        chat_template: named Jinja templates; by default those of the Vicuna models, see `chat_templates_pllava`.
        pooling_shape: visual tokens of one medium along (time, height, width); equal to the model's.
        image_token: placeholder of an image and of a video alike, as in the original.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        video_processor: Any = None,
        chat_template: str | dict[str, str] | None = None,
        pooling_shape: Sequence[int] = (16, 12, 12),
        image_token: str = "<image>",
    ):
        self.pooling_shape = list(pooling_shape)
        self.image_token = self.video_token = image_token
        self.image_token_id = self.video_token_id = tokenizer.convert_tokens_to_ids(image_token)
        super().__init__(
            image_processor, tokenizer, video_processor, chat_template=chat_template or chat_templates("plain")
        )

    @property
    def tokens_per_medium(self) -> int:
        """Visual tokens of one video or image."""
        return prod(self.pooling_shape)

    def num_video_tokens(self, metadata: VideoMetadata | None = None) -> int:
        """Visual tokens of a video: the same for every video, because pooling fixes them."""
        return self.tokens_per_medium

    def replace_video_token(self, video_inputs: dict[str, Any], video_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one video."""
        return self.video_token * self.tokens_per_medium

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one image."""
        return self.image_token * self.tokens_per_medium

    def _get_num_multimodal_tokens(
        self, image_sizes: Sequence | None = None, video_sizes: Sequence | None = None, **kwargs: Any
    ) -> MultiModalData:
        tokens = self.tokens_per_medium
        return MultiModalData(
            num_image_tokens=None if image_sizes is None else [tokens] * len(image_sizes),
            num_image_patches=None if image_sizes is None else [1] * len(image_sizes),
            num_video_tokens=None if video_sizes is None else [tokens] * len(video_sizes),
        )


__all__ = ["PllavaProcessor"]
