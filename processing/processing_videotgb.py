# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB's processors: visual tokens before the text, and the question again for those who read it apart.

The language model reads the whole prompt, InstructBLIP's Q-Former the prompt without placeholders, and the grounding
bridge the bare question, each in its own tokens.
"""

import re
from collections.abc import Sequence
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import MultiModalData
from transformers.video_utils import VideoMetadata

from .chat_templates_videotgb import IMAGE_TOKEN, VIDEO_TOKEN, chat_templates
from .frame_sampling_videotgb import NUM_CANDIDATES, candidate_indices
from .processing_video_lmm import VideoLmmProcessor


# The last thing the user says, in every form of the prompt, without the mark of its medium.
# Up to where an answer begins.
ASKED = re.compile(r".*ASSISTANT:(?: |$)", re.DOTALL)
QUESTION = re.compile(r"(?:.*USER: )?(?:<(?:video|image)>\n)*(.*?) *(?:ASSISTANT:.*)?", re.DOTALL)
# What the original cuts the Q-Former's and the bridge's text to.
TEXT_LENGTH = 128


def question_of(prompt: str) -> str:
    """The last user turn of a prompt that a template made; any other text as it is."""
    return QUESTION.fullmatch(prompt)[1]


def without_answer(prompt: str) -> str:
    """A prompt without the answer that training adds: it is not for the Q-Former's eyes. Other text as it is."""
    found = ASKED.match(prompt)
    return found[0] if found else prompt


class VideotgbT5Processor(VideoLmmProcessor):
    """Tokenizers, video processor and image processor of VideoTGB's Flan-T5 form.

    Args:
        image_processor: a [`VideotgbImageProcessor`].
        tokenizer: the language model's, with both placeholders as tokens of their own.
        video_processor: a [`VideotgbVideoProcessor`].
        sampler_tokenizer: BERT's, for the bridge.
        chat_template: named Jinja templates; by default see `chat_templates_videotgb`.
        num_query_tokens: visual tokens of a frame, equal to the model's.
        num_chosen_frames: frames that the model chooses, equal to the model's.
        frame_merge: `"mean"` or `"concat"`, equal to the model's.
        image_token: placeholder of an image.
        video_token: placeholder of a video.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        video_processor: Any = None,
        sampler_tokenizer: Any = None,
        chat_template: str | dict[str, str] | None = None,
        num_query_tokens: int = 32,
        num_chosen_frames: int = 4,
        frame_merge: str = "mean",
        image_token: str = IMAGE_TOKEN,
        video_token: str = VIDEO_TOKEN,
    ):
        self.num_query_tokens, self.num_chosen_frames = num_query_tokens, num_chosen_frames
        self.frame_merge = frame_merge
        self.image_token, self.video_token = image_token, video_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(video_token)
        super().__init__(
            image_processor,
            tokenizer,
            video_processor,
            sampler_tokenizer,
            chat_template=chat_template or chat_templates(),
        )

    @property
    def model_input_names(self) -> list[str]:
        """Everything a call may answer with."""
        media = [*self.image_processor.model_input_names, *self.video_processor.model_input_names]
        return [*self.tokenizer.model_input_names, *media, "sampler_input_ids", "sampler_attention_mask"]

    def num_video_tokens(self, metadata: VideoMetadata | None = None) -> int:
        """Visual tokens of a video: the same for every video, because the model chooses how many frames it sees."""
        return self.num_query_tokens * (self.num_chosen_frames if self.frame_merge == "concat" else 1)

    def replace_video_token(self, video_inputs: dict[str, Any], video_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one video."""
        return self.video_token * self.num_video_tokens()

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """The expanded placeholder of one image."""
        return self.image_token * self.num_query_tokens

    def _get_num_multimodal_tokens(
        self, image_sizes: Sequence | None = None, video_sizes: Sequence | None = None, **kwargs: Any
    ) -> MultiModalData:
        return MultiModalData(
            num_image_tokens=None if image_sizes is None else [self.num_query_tokens] * len(image_sizes),
            num_image_patches=None if image_sizes is None else [1] * len(image_sizes),
            num_video_tokens=None if video_sizes is None else [self.num_video_tokens()] * len(video_sizes),
        )

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        videos: Any = None,
        questions: str | list[str] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Tokens and pixels of prompts that already hold one placeholder per medium.

        Args:
            images: what transformers accepts as images.
            text: one prompt or a list.
            videos: one video or a (nested) list; see [`VideoLmmVideoProcessor.preprocess`] for the forms of a video.
            questions: what frames are chosen by, one per prompt; by default the last user turn.
            kwargs: options of the tokenizer and the processors.

        Raises:
            VideoError: a video is refused or cannot be decoded.
            ValueError: placeholders and media do not match.
        """
        prompts = [text] if isinstance(text, str) else text
        if prompts and self.tokenizer.bos_token and kwargs.get("add_special_tokens", True):
            text = [self.begin(prompt) for prompt in prompts]
            kwargs["add_special_tokens"] = False
        outputs = super().__call__(images=images, text=text, videos=videos, **kwargs)
        if prompts:
            return_tensors = kwargs.get("return_tensors") or kwargs.get("text_kwargs", {}).get("return_tensors")
            readings = self.read_apart(prompts, [questions] if isinstance(questions, str) else questions)
            outputs.update(BatchFeature(readings, tensor_type=return_tensors))
        return outputs

    def begin(self, prompt: str) -> str:
        """Puts the beginning-of-sequence token between leading placeholders and text, where it is missing."""
        text = self.without_leading_media(prompt)
        bos = self.tokenizer.bos_token
        return prompt if text.startswith(bos) else prompt[: len(prompt) - len(text)] + bos + text

    def without_leading_media(self, prompt: str) -> str:
        """The prompt behind the placeholders it opens with."""
        while prompt.startswith((self.video_token, self.image_token)):
            prompt = prompt.removeprefix(self.video_token).removeprefix(self.image_token)
        return prompt

    def plain_text(self, prompt: str) -> str:
        """The prompt without placeholders and beginning-of-sequence token."""
        text = prompt.replace(self.video_token, "").replace(self.image_token, "")
        return text.removeprefix(self.tokenizer.bos_token or "")

    def read_apart(self, prompts: list[str], questions: list[str] | None) -> dict[str, list]:
        """The question of every video for the bridge."""
        texts = questions or [question_of(self.plain_text(prompt)) for prompt in prompts]
        counts = [prompt.count(self.video_token) for prompt in prompts]
        rows = [text for text, count in zip(texts, counts, strict=True) for _ in range(count)]
        return self.tokenize_apart(self.sampler_tokenizer, "sampler", rows)

    @staticmethod
    def tokenize_apart(tokenizer: Any, name: str, texts: list[str]) -> dict[str, list]:
        """Ids and mask of texts for one reader, padded to the right; nothing where there are no texts."""
        if not texts:
            return {}
        encoded = tokenizer(
            texts, padding=True, padding_side="right", truncation=True, max_length=TEXT_LENGTH, add_special_tokens=True
        )
        return {f"{name}_input_ids": encoded["input_ids"], f"{name}_attention_mask": encoded["attention_mask"]}

    @staticmethod
    def describe_choice(
        choice: Any,
        video: int,
        frames_indices: Sequence[int],
        times: Sequence[float],
        num_candidates: int = NUM_CANDIDATES,
    ) -> dict[str, Any]:
        """What the model chose of one video, in the video's own frames and seconds.

        Args:
            choice: a `FrameChoice` of the model.
            video: number of the video in it.
            frames_indices: source frames that flow was computed between (the metadata's).
            times: their seconds.
            num_candidates: frames that the model chose from.

        Returns:
            `chosen_frames` (source frames) and `chosen_times` (seconds); `spans` as pairs of seconds, one per draw,
            with `span_scores`, the probabilities of their start and end; `grounded`: False where the clip is too
            short or too long for the question to choose.
        """
        candidates = candidate_indices(len(times), num_candidates)
        flow_frames = [candidates[index] for index in choice.frame_indices[video].tolist()]
        return {
            "chosen_frames": [int(frames_indices[index]) for index in flow_frames],
            "chosen_times": [times[index] for index in flow_frames],
            "spans": [[times[start], times[end]] for start, end in choice.spans[video].tolist()],
            "span_scores": [[round(score, 4) for score in pair] for pair in choice.scores[video].tolist()],
            "grounded": bool(choice.grounded[video]),
        }


class VideotgbProcessor(VideotgbT5Processor):
    """The same for the InstructBLIP form, whose Q-Former reads the prompt too.

    Args:
        qformer_tokenizer: BERT's, for the Q-Former.

    The others are those of [`VideotgbT5Processor`].
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        video_processor: Any = None,
        sampler_tokenizer: Any = None,
        qformer_tokenizer: Any = None,
        chat_template: str | dict[str, str] | None = None,
        num_query_tokens: int = 32,
        num_chosen_frames: int = 4,
        frame_merge: str = "mean",
        image_token: str = IMAGE_TOKEN,
        video_token: str = VIDEO_TOKEN,
    ):
        self.num_query_tokens, self.num_chosen_frames = num_query_tokens, num_chosen_frames
        self.frame_merge = frame_merge
        self.image_token, self.video_token = image_token, video_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(video_token)
        super(VideotgbT5Processor, self).__init__(
            image_processor,
            tokenizer,
            video_processor,
            sampler_tokenizer,
            qformer_tokenizer,
            chat_template=chat_template or chat_templates(),
        )

    @property
    def model_input_names(self) -> list[str]:
        """Everything a call may answer with."""
        return [*super().model_input_names, "qformer_input_ids", "qformer_attention_mask"]

    def read_apart(self, prompts: list[str], questions: list[str] | None) -> dict[str, list]:
        """The question of every video for the bridge, and the prompt of every medium for the Q-Former."""
        texts = [without_answer(self.plain_text(prompt)) for prompt in prompts]
        rows = [
            text
            for token in (self.image_token, self.video_token)
            for prompt, text in zip(prompts, texts, strict=True)
            for _ in range(prompt.count(token))
        ]
        readings = super().read_apart(prompts, questions)
        return readings | self.tokenize_apart(self.qformer_tokenizer, "qformer", rows)


__all__ = ["VideotgbProcessor", "VideotgbT5Processor", "question_of"]
