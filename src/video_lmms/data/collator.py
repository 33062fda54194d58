# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Chat rows with videos to training batches.

TRL prepares images only; with this collator its trainer takes videos:

    SFTTrainer(
        model=model,
        processing_class=processor,
        train_dataset=rows,
        data_collator=VideoChatCollator(processor),
        args=SFTConfig(
            remove_unused_columns=False, dataset_kwargs={"skip_prepare_dataset": True}, max_length=None, ...
        ),
    )
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from video_lmms.errors import VideoLmmError
from video_lmms.processing.video_errors import VideoError


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, ProcessorMixin


IGNORED = -100

logger = logging.getLogger(__name__)

# Any one of these says where a video part gets its video from.
_SOURCE_KEYS = ("video", "url", "path", "base64")


class ChatRowError(VideoLmmError, ValueError):
    """A row, or a batch of rows, that cannot be trained on."""


class VideoChatCollator:
    """Turns rows into `input_ids`, `attention_mask`, `labels` and the processor's pixel inputs.

    A row holds one of
    - `messages`: chat messages whose content is text or a list of parts (`{"type": "video", "video": path}`,
      `{"type": "text", "text": ...}`);
    - `messages` and `videos` (or `video`): the videos fill the parts `{"type": "video"}` in order, or stand before the
      first user text where the messages have no such part;
    - `prompt` and `completion`: messages both; only the completion is learned.
    A video is a path, a URL, bytes, or `{"path": ..., "bytes": ...}` as `datasets.Video(decode=False)` gives it.

    Labels are the input ids where the chat template marks the assistant's words (end token included), -100 elsewhere.

    Args:
        processor: with a chat template that has a `{% generation %}` block.
        max_length: longest row in tokens, visual ones included; text beyond is cut. None: nothing is cut.
        num_frames: frames per video, in place of the model's own rule.
        skip_unreadable: leave rows out whose video cannot be decoded, each with a warning, instead of stopping.
        padding_free: join the rows of a batch to one, without padding; see [`without_padding`].
    """

    def __init__(
        self,
        processor: ProcessorMixin,
        max_length: int | None = None,
        num_frames: int | None = None,
        skip_unreadable: bool = False,
        padding_free: bool = False,
    ):
        self.processor = processor
        self.max_length = max_length
        self.num_frames = num_frames
        self.skip_unreadable = skip_unreadable
        self.padding_free = padding_free

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """One right-padded batch.

        Returns:
            `input_ids`, `attention_mask`, `labels` (rows, length), and the pixel inputs of the model.

        Raises:
            ChatRowError: a row is malformed, `max_length` would cut visual tokens, or nothing is left to learn.
            VideoError: a video cannot be read, and may not be skipped or is in every row.
        """
        rows, batch = self._encode_readable(rows)
        learned = _as_mask(batch.pop("assistant_masks"), batch["input_ids"])
        for mask, row in zip(learned, rows, strict=True):
            _forget_first_spans(mask, to_conversation(row)[1])
        batch["labels"] = batch["input_ids"].masked_fill(~learned, IGNORED)
        self._cut(batch)
        if (batch["labels"] == IGNORED).all():
            raise ChatRowError(
                "Nothing in this batch is learned: no assistant words are left. Rows need an assistant message that "
                f"is not empty and fits into max_length={self.max_length}, and the chat template a "
                "{% generation %} block around it."
            )
        return without_padding(dict(batch)) if self.padding_free else dict(batch)

    def _encode_readable(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Mapping[str, Any]], dict]:
        """The rows that take part, and their columns."""
        try:
            return rows, self._encode(rows)
        except VideoError:
            if not self.skip_unreadable:
                raise
            rows = self._readable(rows)
            return rows, self._encode(rows)

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        frames = {} if self.num_frames is None else {"num_frames": self.num_frames}
        return self.processor.apply_chat_template(
            [to_conversation(row)[0] for row in rows],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            return_assistant_tokens_mask=True,
            processor_kwargs={"padding": True, "padding_side": "right", **frames},
        )

    def _readable(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The rows that can be encoded alone; asked only about a batch that cannot be."""
        readable, error = [], None
        for row in rows:
            try:
                self._encode([row])
            except VideoError as reason:
                error = reason
                logger.warning("A row is left out: %s", reason)
            else:
                readable.append(row)
        if not readable:
            raise error
        return readable

    def _cut(self, batch: dict[str, torch.Tensor]) -> None:
        """Cuts text columns to `max_length`; pixels stay whole, so no placeholder may go."""
        input_ids = batch["input_ids"]
        if self.max_length is None or input_ids.shape[1] <= self.max_length:
            return
        for name in ("video_token_id", "image_token_id", "audio_token_id"):
            token_id = getattr(self.processor, name, None)
            if token_id is not None and (input_ids[:, self.max_length :] == token_id).any():
                needed = int((input_ids == token_id).sum(-1).max())
                raise ChatRowError(
                    f"max_length={self.max_length} would cut visual tokens: a row has {needed} of them (token id "
                    f"{token_id}). Raise max_length, or use fewer frames or tokens per video."
                )
        length = input_ids.shape
        for name, values in batch.items():
            if values.shape[:2] == length:
                batch[name] = values[:, : self.max_length]


class VideoSeq2SeqCollator(VideoChatCollator):
    """The same for encoder-decoder models: the encoder reads everything up to the last answer, the decoder writes it.

    `max_length` cuts what the encoder reads. Labels are the last assistant message's text and the token that ends it,
    -100 behind it; other answers of the conversation are read and not learned.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """One right-padded batch.

        Returns:
            `input_ids`, `attention_mask` (rows, length), `labels` (rows, answer), and the pixel inputs of the model.

        Raises:
            ChatRowError: a row is malformed or does not end in an answer, or `max_length` would cut visual tokens.
            VideoError: a video cannot be read, and may not be skipped or is in every row.
        """
        import torch
        from torch.nn.utils.rnn import pad_sequence

        rows, batch = self._encode_readable(rows)
        self._cut(batch)
        tokenizer = self.processor.tokenizer
        texts = [_text_of(_split_answer(row)[1]) for row in rows]
        answers = tokenizer(texts, add_special_tokens=False)["input_ids"]
        labels = [torch.tensor([*ids, tokenizer.eos_token_id]) for ids in answers]
        batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        return dict(batch)

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        frames = {} if self.num_frames is None else {"num_frames": self.num_frames}
        return self.processor.apply_chat_template(
            [_split_answer(row)[0] for row in rows],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "right", **frames},
        )


def without_padding(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Joins the rows of a right-padded batch to one row whose positions start anew with every row of the batch.

    From these positions transformers' attention tells the rows apart (flash-attn and SDPA both), as long as no mask is
    given. Media stay as they are: their order is that of the rows.

    Args:
        batch: `input_ids`, `attention_mask`, `labels` (rows, length), and inputs of other shapes.

    Returns:
        the same with `position_ids` instead of `attention_mask`; all of (1, tokens).
    """
    joined, mask = dict(batch), batch["attention_mask"].bool()
    joined["labels"] = batch["labels"].clone()
    joined["labels"][:, 0] = IGNORED  # nothing in the row before foretells it
    joined["position_ids"] = batch["attention_mask"].cumsum(-1) - 1
    del joined["attention_mask"]
    return {name: value[mask][None] if value.shape == mask.shape else value for name, value in joined.items()}


def collator_for(model: PreTrainedModel, processor: ProcessorMixin, **options: Any) -> VideoChatCollator:
    """The collator of a model's kind; `options` are those of [`VideoChatCollator`].

    Raises:
        VideoLmmError: `padding_free`, and the model needs its rows apart.
    """
    if options.get("padding_free") and model.config.is_encoder_decoder:
        raise VideoLmmError("padding_free: an encoder-decoder model attends across whole rows. Leave it out.")
    if options.get("padding_free") and hasattr(model, "expand_video_tokens"):
        raise VideoLmmError(
            "padding_free: this model decides in the training step how many tokens a video gets, so rows cannot be "
            "joined before. Leave it out; train_sampling_strategy=group_by_length keeps the padding small."
        )
    collator = VideoSeq2SeqCollator if model.config.is_encoder_decoder else VideoChatCollator
    return collator(processor, **options)


class RowCollator:
    """Collates rows by their numbers: what a trainer shuffles and shards is numbers, whatever rows look like.

    Args:
        collate: of the rows themselves.
        rows: all of them.
    """

    def __init__(self, collate: VideoChatCollator, rows: Sequence[Mapping[str, Any]]):
        self.collate = collate
        self.rows = rows

    def __call__(self, items: Sequence[Mapping[str, int]]) -> dict[str, torch.Tensor]:
        """One batch of the rows that the items' `row` names."""
        return self.collate([self.rows[item["row"]] for item in items])


def to_conversation(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The row's messages with a source in every video part, and how many assistant turns belong to its prompt.

    Raises:
        ChatRowError: messages are missing, or videos and video parts do not match.
    """
    if row.get("messages"):
        messages, known_turns = list(row["messages"]), 0
    elif row.get("prompt") and row.get("completion"):
        prompt, completion = row["prompt"], row["completion"]
        if isinstance(prompt, str) or isinstance(completion, str):
            raise ChatRowError("`prompt` and `completion` must be lists of messages, not strings.")
        messages = [*prompt, *completion]
        known_turns = sum(message["role"] == "assistant" for message in prompt)
    else:
        raise ChatRowError(f"A row needs `messages`, or `prompt` and `completion`; this one has {sorted(row)}.")
    messages = [_clean(message) for message in messages]
    videos = row.get("videos") or row.get("video")
    if videos is not None:
        _place(messages, list(videos) if isinstance(videos, (list, tuple)) else [videos])
    return messages, known_turns


def _split_answer(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The conversation up to its last message, and that message."""
    *prompt, last = to_conversation(row)[0]
    if last["role"] != "assistant" or not _text_of(last).strip():
        raise ChatRowError(
            "An encoder-decoder model learns the last message of a row, which must be an assistant's and not empty; "
            f"this row ends in a message of role {last['role']!r}."
        )
    return prompt, last


def _text_of(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _clean(message: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without None values: JSON datasets give every part the keys of all parts."""
    message = {key: value for key, value in message.items() if value is not None}
    if isinstance(message.get("content"), (list, tuple)):
        parts = ({key: value for key, value in part.items() if value is not None} for part in message["content"])
        message["content"] = [_with_plain_source(part) for part in parts]
    return message


def _with_plain_source(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") == "video" and isinstance(part.get("video"), Mapping):
        return {**part, "video": _plain_source(part["video"])}
    return part


def _plain_source(video: Any) -> Any:
    """Undoes the `{"path", "bytes"}` form."""
    if not isinstance(video, Mapping):
        return video
    source = video.get("bytes") or video.get("path")
    if source is None:
        raise ChatRowError(f"A video is given as {dict(video)}, which has neither `path` nor `bytes`.")
    return source


def _place(messages: list[dict[str, Any]], videos: list[Any]) -> None:
    """Fills the empty video parts, in place."""
    sources = [_plain_source(video) for video in videos]
    contents = [message["content"] for message in messages if isinstance(message.get("content"), list)]
    parts = [part for content in contents for part in content if part.get("type") == "video"]
    empty = [part for part in parts if not any(key in part for key in _SOURCE_KEYS)]
    if not parts:
        user = next((message for message in messages if message["role"] == "user"), None)
        if user is None:
            raise ChatRowError(f"{len(sources)} videos are given, but no user message that could show them.")
        content = user["content"]
        text = [{"type": "text", "text": content}] if isinstance(content, str) else content
        user["content"] = [*({"type": "video", "video": source} for source in sources), *text]
        return
    if len(empty) != len(sources):
        raise ChatRowError(
            f"The row has {len(sources)} videos for {len(empty)} video parts without a source. Give one per part."
        )
    for part, source in zip(empty, sources, strict=True):
        part["video"] = source


def _as_mask(rows: Any, like: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.as_tensor(rows, device=like.device).bool()


def _forget_first_spans(learned: torch.Tensor, spans: int) -> None:
    """Clears the first `spans` runs of True in a (length,) mask, in place: the assistant turns of a prompt."""
    if spans:
        starts = learned.clone()
        starts[1:] &= ~learned[:-1]
        learned &= starts.cumsum(0) > spans
