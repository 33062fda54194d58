# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How long rows will be in tokens, told without decoding anything: for batches of rows of about one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import ProcessorMixin

from video_lmms.data.collator import to_conversation
from video_lmms.processing.video_errors import VideoError, VideoLimits
from video_lmms.processing.video_inputs import accept_videos, open_video


def row_lengths(
    rows: Sequence[Mapping[str, Any]], processor: ProcessorMixin, *, skip_unreadable: bool = False
) -> list[int]:
    """Tokens of each row: its words, and what its videos and pictures cost; marks of the prompt are left out.

    Args:
        rows: checked chat rows.
        processor: of the model. Where the number of a video's tokens depends on its content, it tells the most.
        skip_unreadable: count videos that cannot be opened as nothing, for rows that training will leave out.

    Raises:
        VideoError: a video cannot be opened.
    """
    parts = [_parts(row) for row in rows]
    words = processor.tokenizer([" ".join(texts) for texts, _ in parts], add_special_tokens=False)["input_ids"]
    lengths = []
    for ids, (_, media) in zip(words, parts, strict=True):
        try:
            lengths.append(len(ids) + sum(_cost(kind, source, processor) for kind, source in media))
        except VideoError:
            if not skip_unreadable:
                raise
            lengths.append(len(ids))
    return lengths


def _parts(row: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, Any]]]:
    """A row's texts, and its media by kind."""
    texts, media = [], []
    for message in to_conversation(row)[0]:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            kind = part["type"]
            if kind == "text":
                texts.append(part["text"])
            else:
                media.append((kind, part.get(kind, part.get("path", part.get("url")))))
    return texts, media


def _cost(kind: str, source: Any, processor: ProcessorMixin) -> int:
    if kind == "video":
        (video,) = accept_videos([source])
        with open_video(video, None, channels_first=False, limits=VideoLimits()) as opened:
            return processor.num_video_tokens(opened.metadata)
    if kind == "image":
        from PIL import Image

        with Image.open(source) as picture:
            size = (picture.height, picture.width)
        return processor._get_num_multimodal_tokens(image_sizes=[size]).num_image_tokens[0]
    return processor.num_audio_query_tokens


__all__ = ["row_lengths"]
