# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""What the processors of all models share: videos in any form, one call of the video processor per prompt."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.video_utils import VideoMetadata, make_batched_metadata

from .video_inputs import accept_video, accept_videos, unwrapped


# Where a chat's video part may hold the video.
_VIDEO_KEYS = ("video", "url", "path")


class PromptVideos(list):
    """The videos of one prompt."""


class VideoLmmProcessor(ProcessorMixin):
    """Base of the processors: tokenizer, video processor, placeholder arithmetic.

    The videos of one prompt go to the video processor together and those of different prompts apart, so that a batch
    equals its members one by one.
    """

    def num_video_tokens(self, metadata: VideoMetadata) -> int:
        """Visual tokens that a video costs, from its metadata alone: nothing is decoded."""
        raise NotImplementedError

    def __call__(self, images: Any = None, text: Any = None, videos: Any = None, **kwargs: Any) -> BatchFeature:
        """Tokens and pixels of prompts that already hold one placeholder per medium.

        Args:
            images: what transformers accepts as images.
            text: one prompt or a list.
            videos: one video or a (nested) list; see [`VideoLmmVideoProcessor.preprocess`] for the forms of a video.
            kwargs: options of the tokenizer and the processors.

        Raises:
            VideoError: a video is refused or cannot be decoded.
            ValueError: placeholders and media do not match.
        """
        if videos is not None:
            prompts = [text] if isinstance(text, str) else text
            videos = self.group_by_prompt(accept_videos(videos), prompts)
        if kwargs.get("return_offsets_mapping") and not hasattr(ProcessorMixin, "_adjust_assistant_masks_indices"):
            return self._call_with_offsets(images=images, text=text, videos=videos, **kwargs)
        return super().__call__(images=images, text=text, videos=videos, **kwargs)

    def _call_with_offsets(self, **inputs: Any) -> BatchFeature:
        """A call whose `offset_mapping` refers to the prompts before their placeholders were expanded.

        Older releases look up the assistant's characters in it by their place in the unexpanded prompt, and would
        mark the wrong tokens. Newer ones translate by themselves.
        """
        keep = inputs.pop("return_text_replacement_offsets", False)
        outputs = super().__call__(**inputs, return_text_replacement_offsets=True)
        replacements = outputs["text_replacement_offsets"] if keep else outputs.pop("text_replacement_offsets")
        outputs["offset_mapping"] = [
            spans_before_expansion(spans, expanded)
            for spans, expanded in zip(outputs["offset_mapping"], replacements, strict=True)
        ]
        return outputs

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any:
        """[`ProcessorMixin.apply_chat_template`], for videos in any form (path, URL, bytes, file, array)."""
        return super().apply_chat_template(accept_chat_videos(conversation), *args, **kwargs)

    def group_by_prompt(self, videos: list[Any], prompts: list[str] | None) -> list[Any]:
        """Splits a flat list of videos by the placeholders of each prompt; leaves a wrong count to validation."""
        if prompts is None:
            return [PromptVideos(videos)]
        counts = [prompt.count(self.video_token) for prompt in prompts]
        if sum(counts) != len(videos):
            return videos
        rest = iter(videos)
        return [PromptVideos(islice(rest, count)) for count in counts if count]

    def _merge_kwargs(self, *args: Any, tokenizer_init_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> dict:
        """[`ProcessorMixin._merge_kwargs`] without the tokenizer's `backend`.

        transformers passes what the tokenizer was made with to every processor that has an option of the same name;
        this one, written to each saved tokenizer, names its implementation and not a way to resize frames.
        """
        settings = {name: value for name, value in (tokenizer_init_kwargs or {}).items() if name != "backend"}
        return super()._merge_kwargs(*args, tokenizer_init_kwargs=settings, **kwargs)

    def _process_videos(
        self, videos: list[PromptVideos], video_metadata: Any = None, **kwargs: Any
    ) -> tuple[dict[str, list], list[str]]:
        kwargs.pop("return_tensors", None)  # the pieces become one tensor at the end
        flat = [video for prompt in videos for video in prompt]
        known = iter(make_batched_metadata(list(map(unwrapped, flat)), video_metadata=video_metadata))
        outputs = [
            self.video_processor(list(prompt), video_metadata=list(islice(known, len(prompt))), **kwargs)
            for prompt in videos
        ]
        merged = {name: [entry for output in outputs for entry in output[name]] for name in outputs[0]}
        replacements = [self.replace_video_token(merged, index) for index in range(len(flat))]
        return merged, replacements


def spans_before_expansion(spans: Any, replacements: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Character spans of tokens in a prompt, translated from the prompt in which placeholders are expanded.

    Args:
        spans: (start, end) of each token; empty for padding and added special tokens.
        replacements: what transformers records of each expanded placeholder, in order.

    Returns:
        one span per token, starts in ascending order: an empty span lies where the token before it ends.
    """

    def place(char: int) -> int:
        gained = 0
        for replacement in replacements:
            (_, old_end), (new_start, new_end) = replacement["span"], replacement["new_span"]
            if new_start < char < new_end:
                return replacement["span"][0]
            gained = new_end - old_end if char >= new_end else gained
        return char - gained

    translated, last = [], 0
    for start, end in spans:
        span = (last, last) if start == end else (place(int(start)), place(int(end)))
        translated.append(span)
        last = span[1]
    return translated


def accept_chat_videos(conversation: Any) -> Any:
    """A copy of a chat, or batch of chats, whose video parts hold strings and arrays only."""
    if isinstance(conversation, (list, tuple)):
        return [accept_chat_videos(entry) for entry in conversation]
    if not isinstance(conversation, dict) or not isinstance(conversation.get("content"), (list, tuple)):
        return conversation
    return {**conversation, "content": [accept_chat_part(part) for part in conversation["content"]]}


def accept_chat_part(part: dict[str, Any]) -> dict[str, Any]:
    """A copy of a video part with its video as transformers accepts it; `start` and `end` are that video's own."""
    if part.get("type") != "video":
        return part
    trimming = {name: part[name] for name in ("start", "end") if part.get(name) is not None}
    return {key: accept_video(part[key], **trimming) if key in _VIDEO_KEYS else part[key] for key in part}


def chat_parts(conversation: Any) -> Iterable[dict[str, Any]]:
    """All content parts of a chat or batch of chats."""
    if isinstance(conversation, (list, tuple)):
        for entry in conversation:
            yield from chat_parts(entry)
    elif isinstance(conversation, dict) and isinstance(conversation.get("content"), (list, tuple)):
        yield from conversation["content"]


__all__ = ["PromptVideos", "VideoLmmProcessor", "chat_parts", "spans_before_expansion"]
