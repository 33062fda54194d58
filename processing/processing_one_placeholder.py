# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""For models in whose prompts an image and a video have one and the same placeholder."""

from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import load_image, make_flat_list_of_images
from transformers.video_utils import make_batched_videos

from .processing_video_lmm import VideoLmmProcessor, chat_parts


class OnePlaceholderProcessor(VideoLmmProcessor):
    """Base of the processors that tell images from videos by the argument alone: a call takes one kind.

    A chat may mix them: there, an image becomes a video of one frame.
    """

    def __call__(self, images: Any = None, text: Any = None, videos: Any = None, **kwargs: Any) -> BatchFeature:
        """[`VideoLmmProcessor.__call__`], with either images or videos."""
        outputs = super().__call__(images=images, text=text, videos=videos, **kwargs)
        if images is not None and "mm_token_type_ids" in outputs:
            # By its id every placeholder counts as a video's (2); here they are images' (1).
            types = outputs["mm_token_type_ids"]
            is_list = isinstance(types, list)
            outputs["mm_token_type_ids"] = np.clip(types, 0, 1).tolist() if is_list else types.clip(0, 1)
        return outputs

    def still_video(self, frame: np.ndarray) -> np.ndarray:
        """The video (1, height, width, 3) that stands for an image (height, width, 3)."""
        return frame[None]

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; in chats that mix both, an image becomes a video of one frame.

        Images and videos share a placeholder, so only as one kind do they keep their order in the prompt.
        """
        kinds = {part.get("type") for part in chat_parts(conversation)}
        if {"image", "video"} <= kinds:
            conversation = self.images_as_videos(conversation)
        return super().apply_chat_template(conversation, *args, **kwargs)

    def images_as_videos(self, conversation: Any) -> Any:
        """A copy of a chat, or batch of chats, in which every image part is a video of one frame."""
        if isinstance(conversation, (list, tuple)):
            return [self.images_as_videos(entry) for entry in conversation]
        if isinstance(conversation.get("content"), (list, tuple)):
            return {**conversation, "content": [self.images_as_videos(part) for part in conversation["content"]]}
        if conversation.get("type") != "image":
            return conversation
        source = next((conversation[key] for key in ("image", "url", "path", "base64") if key in conversation), None)
        if source is None:
            return {"type": "video"}
        return {"type": "video", "video": self.still_video(np.asarray(load_image(source).convert("RGB")))}

    def validate_inputs(self, images: Any = None, text: Any = None, videos: Any = None, **kwargs: Any) -> None:
        """Checks the media against the placeholders, which images and videos share.

        Raises:
            ValueError: nothing is given, images and videos are mixed, or counts differ.
        """
        if images is not None and videos is not None:
            raise ValueError(
                f"Images and videos share the placeholder {self.image_token}, so their order in the prompt is "
                "unknown. Use `apply_chat_template`, or pass an image as a video of one frame."
            )
        media = []
        if videos is not None:
            media = make_batched_videos(videos)
        elif images is not None:
            media = make_flat_list_of_images(images)
        if text is None:
            if not media:
                raise ValueError("Nothing to process: pass `text`, `images` or `videos`.")
            return
        prompts = [text] if isinstance(text, str) else text
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise ValueError("`text` must be a string or a list of strings.")
        placeholders = sum(prompt.count(self.image_token) for prompt in prompts)
        if placeholders != len(media):
            raise ValueError(
                f"The number of {self.image_token} tokens in the prompts should be the same as the number of images "
                f"or videos, got {placeholders} and {len(media)}. Each medium needs exactly one."
            )


__all__ = ["OnePlaceholderProcessor"]
