# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU's processor: a video stays one `<image>`, because only the model knows how many tokens it needs.

What the model's budget and its choice of frames depend on is passed along: lengths of the prompt and the question.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import MultiModalData
from transformers.video_utils import VideoMetadata

from .chat_templates_longvu import QWEN
from .processing_one_placeholder import OnePlaceholderProcessor
from .token_counts_longvu import frame_token_count, lowres_token_count
from .video_processing_longvu import StillImage


class LongvuProcessor(OnePlaceholderProcessor):
    """Tokenizer, video processor and image processor of LongVU.

    Args:
        image_processor: a [`LongvuImageProcessor`].
        tokenizer: with `<image>` as one token.
        video_processor: a [`LongvuVideoProcessor`].
        chat_template: a Jinja template; by default Qwen2's, see `chat_templates_longvu`.
        image_token: placeholder of an image and of a video alike, as in the original.
        context_length: tokens that prompt, videos and answer may fill; also an argument of a call.
        reserve: tokens of it that are left for the answer; also an argument of a call.
        image_token_len: tokens of a frame at full resolution, equal to the model's.
        lowres_token: side of the low-resolution grid, equal to the model's.
        highres: whether low resolution is used at all, equal to the model's.
        image_full_resolution: whether images keep all tokens nevertheless, equal to the model's.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        video_processor: Any = None,
        chat_template: str | dict[str, str] | None = None,
        image_token: str = "<image>",
        context_length: int = 8192,
        reserve: int = 16,
        image_token_len: int = 144,
        lowres_token: int = 8,
        highres: bool = True,
        image_full_resolution: bool = False,
    ):
        self.image_token = self.video_token = image_token
        self.image_token_id = self.video_token_id = tokenizer.convert_tokens_to_ids(image_token)
        self.context_length, self.reserve = context_length, reserve
        self.image_token_len, self.lowres_token, self.highres = image_token_len, lowres_token, highres
        self.image_full_resolution = image_full_resolution
        super().__init__(image_processor, tokenizer, video_processor, chat_template=chat_template or QWEN)

    @property
    def model_input_names(self) -> list[str]:
        """Everything a call may answer with."""
        own = ["query_input_ids", "query_attention_mask", "num_prompt_tokens", "num_text_tokens", "context_budgets"]
        return [*super().model_input_names, "num_sampled_frames", *own]

    @property
    def token_side(self) -> int:
        """Side of a frame's grid at full resolution."""
        return round(self.image_token_len**0.5)

    def num_video_tokens(self, metadata: VideoMetadata) -> int:
        """Tokens of a video at most; its content may need fewer. Exact if every frame fits at full resolution."""
        frames = len(self.video_processor.sample_frames(metadata, **self.sampling_defaults()))
        size = (metadata.height, metadata.width)
        size = size[::-1] if self.video_processor.true_aspect else size
        return min(frames * frame_token_count(size, self.token_side), self.context_length - self.reserve)

    def sampling_defaults(self) -> dict[str, Any]:
        """The video processor's own options of `sample_frames`."""
        names = ("fps", "num_frames", "sampling", "start", "end")
        return {name: getattr(self.video_processor, name) for name in names}

    def num_image_tokens(self, width: int, height: int) -> int:
        """Tokens of an image."""
        if self.highres and not self.image_full_resolution:
            return lowres_token_count((width, height), self.token_side, self.lowres_token)
        return frame_token_count((width, height), self.token_side)

    def replace_video_token(self, video_inputs: dict[str, Any], video_idx: int, **kwargs: Any) -> str:
        """One placeholder; `expand_video_tokens` or `generate` of the model expands it."""
        return self.video_token

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one image."""
        width, height = (int(edge) for edge in image_inputs["image_sizes"][image_idx])
        return self.image_token * self.num_image_tokens(width, height)

    def _get_num_multimodal_tokens(
        self, image_sizes: Sequence | None = None, video_sizes: Sequence | None = None, **kwargs: Any
    ) -> MultiModalData:
        return MultiModalData(
            num_image_tokens=image_sizes and [self.num_image_tokens(width, height) for height, width in image_sizes],
            num_image_patches=image_sizes and [1] * len(image_sizes),
            num_video_tokens=video_sizes and [1] * len(video_sizes),
        )

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        videos: Any = None,
        select_frames: Callable | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Tokens and pixels of prompts that hold one placeholder per medium, with exactly one BOS each.

        Args:
            images: what transformers accepts as images.
            text: one prompt or a list.
            videos: one video or a (nested) list; see [`LongvuVideoProcessor.preprocess`] for the forms of a video.
            select_frames: the model's method of this name. Videos are then read twice, first in a stream that it looks
                at and then the frames that it keeps, so that memory does not grow with the others. The result is the
                same: `num_sampled_frames` tells the model that the choice was made.
            kwargs: options of the tokenizer and the processors; in place of the processor's own also `context_length`,
                tokens that prompt, videos and answer may fill, and `reserve`, those of them left for the answer.

        Raises:
            VideoError: a video is refused or cannot be decoded.
            ValueError: placeholders and media do not match, or a budget is not positive.
        """
        limit = kwargs.pop("context_length", self.context_length) - kwargs.pop("reserve", self.reserve)
        if limit < 1:
            raise ValueError(f"`context_length` must exceed `reserve`; {limit} tokens would be left.")
        prompts = [text] if isinstance(text, str) else text
        bos = self.tokenizer.bos_token
        if prompts and bos and all(prompt.startswith(bos) for prompt in prompts if isinstance(prompt, str)):
            kwargs.setdefault("add_special_tokens", False)
        if select_frames is not None and prompts and videos is not None:
            rows = self.tokenizer(prompts, add_special_tokens=kwargs.get("add_special_tokens", True))["input_ids"]
            kwargs["select_frames"] = self.bind_budgets(select_frames, rows, limit)
        outputs = super().__call__(images=images, text=text, videos=videos, **kwargs)
        if videos is not None and text is not None:
            masks = outputs.get("attention_mask")
            rows = unpadded_rows(outputs["input_ids"], masks)
            questions = self.describe_prompts(rows, limit)
            return_tensors = kwargs.get("return_tensors") or kwargs.get("text_kwargs", {}).get("return_tensors")
            outputs.update(BatchFeature(questions, tensor_type=return_tensors))
        return outputs

    def bind_budgets(self, select_frames: Callable, rows: list[list[int]], limit: int) -> Callable:
        """The model's choice of frames with each video's share of the context, in the order that videos are read."""
        described = self.describe_prompts(rows, limit)
        budgets = zip(described["num_prompt_tokens"], described["context_budgets"], strict=True)

        def select(chunks: Iterable, num_frames: int) -> Any:
            return select_frames(chunks, num_frames, *next(budgets))

        return select

    def describe_prompts(self, rows: list[list[int]], limit: int) -> dict[str, list]:
        """What the model's budget needs of each video's prompt; the videos of one prompt share the room equally."""
        data = {name: [] for name in ("num_prompt_tokens", "num_text_tokens", "context_budgets")}
        queries: list[list[int]] = []
        for row in rows:
            videos = row.count(self.video_token_id)
            if not videos:
                continue
            text = len(row) - videos
            last = len(row) - row[::-1].index(self.video_token_id)
            data["num_prompt_tokens"] += [len(row)] * videos
            data["num_text_tokens"] += [text] * videos
            data["context_budgets"] += [limit if videos == 1 else text + (limit - text) // videos] * videos
            queries += [row[last:]] * videos
        width = max(map(len, queries), default=0)
        padding = self.tokenizer.pad_token_id or 0
        data["query_input_ids"] = [query + [padding] * (width - len(query)) for query in queries]
        data["query_attention_mask"] = [[1] * len(query) + [0] * (width - len(query)) for query in queries]
        return data

    def still_video(self, frame: np.ndarray) -> np.ndarray:
        """Marked, because the size of an image is told in another order than a video's."""
        return super().still_video(frame).view(StillImage)


def unpadded_rows(input_ids: Iterable, attention_mask: Iterable | None) -> list[list[int]]:
    """Token ids of each prompt without padding, whatever holds them."""
    rows = [[int(token) for token in row] for row in input_ids]
    if attention_mask is None:
        return rows
    pairs = zip(rows, attention_mask, strict=True)
    return [[token for token, shown in zip(row, mask, strict=True) if shown] for row, mask in pairs]


__all__ = ["LongvuProcessor"]
