# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches in the original's own training text, for those models whose text of training differs from that of asking.

Media, and with them the number of placeholders, come from the processor as ever; only the words around them and the
labels are the original's. Apollo and VideoTGB train on what they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, ProcessorMixin

from video_lmms.data.collator import IGNORED, ChatRowError, VideoChatCollator, to_conversation, without_padding
from video_lmms.errors import VideoLmmError
from video_lmms.processing.processing_video_lmm import accept_chat_videos
from video_lmms.training import original_text_longvu as longvu
from video_lmms.training import original_text_pllava as pllava
from video_lmms.training import original_text_video_llama as video_llama


class Conversation(NamedTuple):
    """A row as the originals' annotations have it.

    Attributes:
        turns: question and answer.
        kind: of the one medium: "video", "image", or None.
        part: of the message that shows the medium.
    """

    turns: list[tuple[str, str]]
    kind: str | None
    part: Mapping[str, Any]


# (conversation, processor, placeholders, options of sampling) -> token ids, labels, and the id of the medium.
Written = tuple[list[int], list[int], int]
Writer = Callable[[Conversation, ProcessorMixin, int, dict[str, Any]], Written]


def write_pllava(row: Conversation, processor: ProcessorMixin, count: int, sampling: dict[str, Any]) -> Written:
    """PLLaVA's; see `original_text_pllava`."""
    tokenizer = processor.tokenizer
    roles = pllava.IM_START_ROLES if "<|im_start|>" in tokenizer.get_vocab() else pllava.VICUNA_ROLES
    text = pllava.training_text([{"q": question, "a": answer} for question, answer in row.turns], roles)
    ids, labels, _ = pllava.tokenize_training_text(text, tokenizer, roles)
    return ids, labels, tokenizer.convert_tokens_to_ids(pllava.MEDIA_TOKEN)


def write_longvu(row: Conversation, processor: ProcessorMixin, count: int, sampling: dict[str, Any]) -> Written:
    """LongVU's; see `original_text_longvu`."""
    tokenizer = processor.tokenizer
    form = longvu.QWEN_FORMAT if "<|im_start|>" in tokenizer.get_vocab() else longvu.LLAMA3_FORMAT
    conversations = []
    for number, (question, answer) in enumerate(row.turns):
        shown = f"{longvu.MEDIA_TOKEN}\n" if number == 0 and row.kind else ""
        conversations += [{"from": "human", "value": shown + question}, {"from": "gpt", "value": answer}]
    ids, labels = longvu.training_tokens(conversations, tokenizer, form)
    return ids, labels, tokenizer.convert_tokens_to_ids(longvu.MEDIA_TOKEN)


def write_video_llama(row: Conversation, processor: ProcessorMixin, count: int, sampling: dict[str, Any]) -> Written:
    """Video-LLaMA's, instructions or (where nothing is asked) captions; see `original_text_video_llama`."""
    tokenizer = processor.tokenizer
    marker = tokenizer.convert_tokens_to_ids(video_llama.MARKER)
    if row.kind and [question for question, _ in row.turns] == [""]:
        caption = video_llama.clean_caption(row.turns[0][1])
        ids, labels, _ = video_llama.tokenize_captions([caption], tokenizer, count, "\n", max_length=32)
        return ids[0], labels[0], marker
    if row.kind == "video":
        source = [{"q": question, "a": answer} for question, answer in row.turns]
        (told,) = processor.complete_chat(accept_chat_videos([{"content": [row.part]}]), sampling, False)
        times = told["content"][0].get("timestamps", "")
    else:
        source, times = [], None
        for number, (question, answer) in enumerate(row.turns):
            shown = "<image>\n" if number == 0 and row.kind else ""
            source += [{"from": "human", "value": shown + question}, {"from": "gpt", "value": answer}]
    tokenize = video_llama.tokenize_vicuna if processor.prompt_style == "vicuna" else video_llama.tokenize_llama
    ids, labels = tokenize(video_llama.to_turns(source, count, times), tokenizer)
    return ids, labels, marker


WRITERS: dict[str, Writer] = {
    "longvu": write_longvu,
    "pllava": write_pllava,
    "video_llama": write_video_llama,
}


class OriginalTextCollator(VideoChatCollator):
    """[`VideoChatCollator`] whose text and labels are the original's.

    Args:
        model: for its kind.
        processor: its processor.
        options: those of [`VideoChatCollator`], but not `max_length`.

    Raises:
        VideoLmmError: the model's original trained on the text of inference.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin, **options: Any):
        kind = model.config.model_type
        if kind not in WRITERS:
            raise VideoLmmError(
                f"original_text: {kind} has no training text of its own; known are {', '.join(WRITERS)}. Leave it out."
            )
        super().__init__(processor, **options)
        self.write = WRITERS[kind]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """One right-padded batch.

        Raises:
            ChatRowError: a row has several media, a system message, or questions and answers that do not alternate.
            VideoError: a video cannot be read, and may not be skipped or is in every row.
        """
        rows, batch = self._encode_readable(rows)
        batch = dict(batch)
        del batch["assistant_masks"]
        texts = [self.text(row, ids) for row, ids in zip(rows, batch["input_ids"], strict=True)]
        for name, values, fill in (
            ("input_ids", [ids for ids, _ in texts], self.processor.tokenizer.pad_token_id),
            ("labels", [labels for _, labels in texts], IGNORED),
            ("attention_mask", [[1] * len(ids) for ids, _ in texts], 0),
        ):
            batch[name] = pad_sequence([torch.tensor(row) for row in values], batch_first=True, padding_value=fill)
        return without_padding(batch) if self.padding_free else batch

    def text(self, row: Mapping[str, Any], encoded: torch.Tensor) -> tuple[list[int], list[int]]:
        """Token ids and labels of one row, with as many placeholders as in `encoded`."""
        conversation = to_original(row)
        native = getattr(self.processor, f"{conversation.kind or 'video'}_token_id")
        count = int((encoded == native).sum())
        sampling = {} if self.num_frames is None else {"num_frames": self.num_frames}
        ids, labels, marker = self.write(conversation, self.processor, count, sampling)
        repeats = count // max(1, ids.count(marker))
        pairs = [
            pair
            for token, label in zip(ids, labels, strict=True)
            for pair in ([(native, IGNORED)] * repeats if token == marker else [(token, label)])
        ]
        return [token for token, _ in pairs], [label for _, label in pairs]


def to_original(row: Mapping[str, Any]) -> Conversation:
    """A chat row as questions and answers about one medium.

    Raises:
        ChatRowError: it is something else.
    """
    messages, _ = to_conversation(row)
    if [message["role"] for message in messages] != ["user", "assistant"] * (len(messages) // 2):
        raise ChatRowError("original_text: user and assistant must take turns, without a system message.")
    texts, media = [], []
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts.append("".join(part["text"] for part in parts if part["type"] == "text"))
        media += [part for part in parts if part["type"] != "text"]
    if len(media) > 1 or any(part["type"] == "audio" for part in media):
        raise ChatRowError(f"original_text: a row has one video or image at most; this one has {len(media)} media.")
    part = media[0] if media else {}
    return Conversation(list(zip(texts[::2], texts[1::2], strict=True)), part.get("type"), part)


__all__ = ["OriginalTextCollator", "to_original"]
