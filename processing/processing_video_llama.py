# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Video-LLaMA's processor: images, videos and sounds behind one marker, and the sentence on a video's frames."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import make_flat_list_of_images
from transformers.processing_utils import MultiModalData
from transformers.video_utils import VideoMetadata, is_valid_video, make_batched_videos

from .chat_templates_video_llama import MARKER, PROMPTS, chat_templates
from .feature_extraction_video_llama import accept_sounds
from .frame_sampling_video_llama import timestamps_message
from .processing_video_lmm import VideoLmmProcessor, accept_chat_videos
from .video_errors import VideoLimits
from .video_fetch import fetch, scheme_of
from .video_inputs import accept_video, open_video, unwrapped
from .video_processing_video_llama import pad_frames


# What stands right before a marker tells what it stands for.
TAGGED_MARKER = re.compile(rf"(?P<tag><(?:Image|Video|Vision)>)?{re.escape(MARKER)}")
# Options of a call that decide which frames are taken.
SAMPLING_OPTIONS = ("num_frames", "fps", "start", "end", "sampling", "do_sample_frames")
VIDEO_SOURCES = ("video", "url", "path", "base64")
AUDIO_SOURCES = ("audio", "url", "path")


class VideoLlamaProcessor(VideoLmmProcessor):
    """Tokenizer, image processor, video processor and feature extractor of Video-LLaMA.

    In a prompt every medium is `<ImageHere>`, as in the original, and the tags around it tell what it is. A call gives
    each marker its own token, of equal length, so that every medium finds its place.

    Args:
        image_processor: a [`VideoLlamaImageProcessor`].
        tokenizer: with all three placeholders as tokens of their own.
        video_processor: a [`VideoLlamaVideoProcessor`].
        feature_extractor: a [`VideoLlamaFeatureExtractor`].
        chat_template: named Jinja templates; by default all, that of `prompt_style` first.
        prompt_style: a row of `chat_templates_video_llama.PROMPTS`; decides how answers are read.
        num_video_query_tokens: tokens of one image or video; equal to the model's.
        num_audio_query_tokens: tokens of one sound; equal to the model's.
        image_token: placeholder of an image.
        audio_token: placeholder of a sound.
        video_token: placeholder of a video.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        video_processor: Any = None,
        feature_extractor: Any = None,
        chat_template: str | dict[str, str] | None = None,
        prompt_style: str = "llama_v2",
        num_video_query_tokens: int = 32,
        num_audio_query_tokens: int = 8,
        image_token: str = MARKER,
        audio_token: str = "<AudioHere>",
        video_token: str = "<VideoHere>",
    ):
        self.prompt_style = prompt_style
        self.num_video_query_tokens = num_video_query_tokens
        self.num_audio_query_tokens = num_audio_query_tokens
        self.image_token, self.audio_token, self.video_token = image_token, audio_token, video_token
        self.image_token_id, self.audio_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(
            [image_token, audio_token, video_token]
        )
        super().__init__(
            image_processor,
            tokenizer,
            video_processor,
            feature_extractor,
            chat_template=chat_template or chat_templates(prompt_style),
        )

    @property
    def stop_string(self) -> str:
        """What ends an answer."""
        return "</s>" if PROMPTS[self.prompt_style].instruct else "###"

    def num_video_tokens(self, metadata: VideoMetadata | None = None) -> int:
        """Visual tokens of a video: the same for every video, because queries read it."""
        return self.num_video_query_tokens

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one image."""
        return self.image_token * self.num_video_query_tokens

    def replace_video_token(self, video_inputs: dict[str, Any], video_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one video."""
        return self.video_token * self.num_video_query_tokens

    def replace_audio_token(self, audio_inputs: dict[str, Any], audio_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one sound."""
        return self.audio_token * self.num_audio_query_tokens

    def _get_num_multimodal_tokens(
        self,
        image_sizes: Sequence | None = None,
        video_sizes: Sequence | None = None,
        audio_lengths: Sequence | None = None,
        **kwargs: Any,
    ) -> MultiModalData:
        visual, audible = self.num_video_query_tokens, self.num_audio_query_tokens
        return MultiModalData(
            num_image_tokens=None if image_sizes is None else [visual] * len(image_sizes),
            num_image_patches=None if image_sizes is None else [1] * len(image_sizes),
            num_video_tokens=None if video_sizes is None else [visual] * len(video_sizes),
            num_audio_tokens=None if audio_lengths is None else [audible] * len(audio_lengths),
        )

    def __call__(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> BatchFeature:
        """Tokens and media of prompts that already hold one marker per medium.

        Args:
            images: what transformers accepts as images.
            text: one prompt or a list. Markers are `<ImageHere>`, told apart by their tags, or a medium's own token.
            videos: one video or a (nested) list; see [`VideoLmmVideoProcessor.preprocess`] for the forms of a video.
            audio: one sound or a list; see [`VideoLlamaFeatureExtractor.__call__`] for the forms of a sound.
            kwargs: options of the tokenizer and the processors.

        Raises:
            VideoError: a video or sound is refused or cannot be decoded.
            ValueError: placeholders and media do not match.
        """
        kinds = {"image": images is not None, "video": videos is not None, "audio": audio is not None}
        given = [kind for kind, present in kinds.items() if present]
        if isinstance(text, str):
            text = self.tell_markers_apart(text, given)
        elif isinstance(text, (list, tuple)) and all(isinstance(prompt, str) for prompt in text):
            text = [self.tell_markers_apart(prompt, given) for prompt in text]
        return super().__call__(images=images, text=text, videos=videos, audio=accept_sounds(audio), **kwargs)

    def tell_markers_apart(self, prompt: str, given: Sequence[str]) -> str:
        """The prompt with each `<ImageHere>` replaced by the token of its medium; all tokens are equally long.

        Args:
            prompt: as the chat templates write it.
            given: kinds of media in the call, of "image", "video", "audio".

        Raises:
            ValueError: `<Vision>` is around a marker, and the call holds both images and videos.
        """

        def token(found: re.Match) -> str:
            tag = found["tag"] or ""
            if tag == "<Vision>" and {"image", "video"} <= set(given):
                raise ValueError(
                    "<Vision> may be an image or a video, and the call holds both: write "
                    f"{self.video_token} for the videos."
                )
            if tag == "<Video>" or (tag == "<Vision>" and "video" in given) or (not tag and given == ["video"]):
                return tag + self.video_token
            if not tag and "audio" in given and not told_apart:
                return self.audio_token
            return tag + self.image_token

        # A prompt that names media by their own tokens means images by the rest.
        told_apart = self.audio_token in prompt or self.video_token in prompt
        return TAGGED_MARKER.sub(token, prompt)

    def validate_inputs(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> None:
        """Checks the media against their placeholders, which older releases do not.

        Raises:
            ValueError: counts differ, or there is nothing to process.
        """
        super().validate_inputs(images=images, text=text, videos=videos, audio=audio, **kwargs)
        if text is None:
            return
        media = {
            self.image_token: [] if images is None else make_flat_list_of_images(images),
            self.video_token: [] if videos is None else make_batched_videos(videos),
            self.audio_token: [] if audio is None else audio,
        }
        for token, given in media.items():
            wanted = sum(prompt.count(token) for prompt in text)
            if wanted != len(given):
                raise ValueError(
                    f"The prompts hold {wanted} {token} tokens, but {len(given)} such media are given. Each medium "
                    "needs exactly one."
                )

    def _process_videos(self, videos: list, **kwargs: Any) -> tuple[dict[str, list], list[str]]:
        # Padded once for all prompts: where a video ends must not be forgotten on the way.
        merged, replacements = super()._process_videos(videos, **(kwargs | {"do_pad": False}))
        frames = merged["pixel_values_videos"]
        if len({len(video) for video in frames}) > 1:
            merged["pixel_values_videos"], merged["frame_mask"] = pad_frames(frames)
        return merged, replacements

    def apply_chat_template(
        self,
        conversation: Any,
        *args: Any,
        use_audio_in_video: bool = False,
        processor_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """As in transformers; videos tell when their frames were taken, and may bring their own sound.

        Args:
            conversation: messages, or a batch of them. A video part with `timestamps` keeps its own sentence.
            args: of transformers.
            use_audio_in_video: whether each video's own sound is heard too, as in the original's audio demo. What
                happens where there is none is `missing_audio` of the feature extractor.
            processor_kwargs: options of the tokenizer and the processors.
            kwargs: of transformers.

        Raises:
            VideoError: a video or sound is refused or cannot be decoded.
        """
        options = kwargs | (processor_kwargs or {})
        options |= options.get("videos_kwargs", {})
        sampling = {name: options[name] for name in SAMPLING_OPTIONS if options.get(name) is not None}
        limits = VideoLimits.of(options.get("limits") or self.video_processor.limits)
        if processor_kwargs is not None:
            kwargs["processor_kwargs"] = processor_kwargs
        with ExitStack() as stack:
            # Times, frames and sound come from one download.
            conversation = fetched_videos(accept_chat_videos(conversation), limits, stack)
            conversation = self.complete_chat(conversation, sampling, use_audio_in_video, limits)
            return super().apply_chat_template(conversation, *args, **kwargs)

    def complete_chat(
        self,
        conversation: Any,
        sampling: dict[str, Any],
        use_audio_in_video: bool,
        limits: VideoLimits | None = None,
    ) -> Any:
        """A copy of a chat, or batch of chats, with times in its video parts and sound parts before them."""
        if isinstance(conversation, (list, tuple)):
            return [self.complete_chat(entry, sampling, use_audio_in_video, limits) for entry in conversation]
        if not isinstance(conversation, dict) or not isinstance(conversation.get("content"), (list, tuple)):
            return conversation
        content = []
        for part in conversation["content"]:
            if part.get("type") == "audio":
                part = {key: accept_sounds(value) if key in AUDIO_SOURCES else value for key, value in part.items()}
            elif part.get("type") == "video":
                source = next((part[key] for key in VIDEO_SOURCES if part.get(key) is not None), None)
                if use_audio_in_video:
                    sound = getattr(source, "payload", source)
                    content.append({"type": "audio"} | ({} if source is None else {"audio": accept_sounds(sound)}))
                elif source is not None and "timestamps" not in part:
                    part = part | self.timestamps(source, sampling, limits)
            content.append(part)
        return {**conversation, "content": content}

    def timestamps(self, video: Any, sampling: dict[str, Any], limits: VideoLimits | None = None) -> dict[str, str]:
        """The sentence on a video's frames, under `timestamps`; nothing where there are no times, as in arrays."""
        if not isinstance(video, str) or is_valid_video(unwrapped(video)):
            return {}
        with open_video(unwrapped(video), None, False, limits) as opened:
            metadata = opened.metadata
        if metadata.fps is None:
            return {}
        sampling = sampling | getattr(video, "trimming", {})
        whole = sampling.pop("do_sample_frames", None) is False
        indices = (
            range(metadata.total_num_frames) if whole else self.video_processor.sample_frames(metadata, **sampling)
        )
        return {"timestamps": timestamps_message(indices, metadata.fps)}

    def decode(self, *args: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str | list[str]:
        """Of the tokenizer; what ends an answer counts as special, although Vicuna's `###` is no token of its own."""
        text = super().decode(*args, skip_special_tokens=skip_special_tokens, **kwargs)
        return self.without_stop(text) if skip_special_tokens else text

    def batch_decode(self, *args: Any, skip_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """Of the tokenizer; see [`decode`]."""
        texts = super().batch_decode(*args, skip_special_tokens=skip_special_tokens, **kwargs)
        return self.without_stop(texts) if skip_special_tokens else texts

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
    ) -> list[str]:
        """Decoded text without the stop string at its end."""
        texts = super().post_process_image_text_to_text(generated_outputs, skip_special_tokens, **kwargs)
        return self.without_stop(texts)

    def without_stop(self, text: str | list[str]) -> str | list[str]:
        """Text without the stop string at its end."""
        if isinstance(text, str):
            return text.removesuffix(self.stop_string)
        return [self.without_stop(entry) for entry in text]


def fetched_videos(conversation: Any, limits: VideoLimits, stack: ExitStack) -> Any:
    """A copy of a chat, or batch of chats, with files in place of URLs; they live as long as `stack`."""
    if isinstance(conversation, (list, tuple)):
        return [fetched_videos(entry, limits, stack) for entry in conversation]
    if not isinstance(conversation, dict) or not isinstance(conversation.get("content"), (list, tuple)):
        return conversation
    return {**conversation, "content": [_fetched_video(part, limits, stack) for part in conversation["content"]]}


def _fetched_video(part: dict[str, Any], limits: VideoLimits, stack: ExitStack) -> dict[str, Any]:
    key = next((key for key in VIDEO_SOURCES if part.get(key) is not None), None)
    source = None if key is None else getattr(part[key], "payload", part[key])
    if part.get("type") != "video" or not isinstance(source, str) or scheme_of(source) is None:
        return part
    file = stack.enter_context(fetch(source, limits))
    others = {name: value for name, value in part.items() if name != key}
    return others | {"video": accept_video(file, **getattr(part[key], "trimming", {}))}


__all__ = ["VideoLlamaProcessor"]
