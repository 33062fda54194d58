# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How Video-LLaMA's ears learned: not from sound, but from frames that ImageBind's other tower sees.

ImageBind brings pictures and sounds into one space, so the original trained the audio branch on the videos and images
of the visual branch, in the same prompts, with fewer placeholders. Batches never mix images and videos, as in the
original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import ProcessorMixin

from video_lmms.data.collator import IGNORED, ChatRowError, VideoChatCollator


class FramesForEars:
    """A collator whose videos and images are heard.

    Args:
        collate: of the visual branch.
    """

    def __init__(self, collate: VideoChatCollator):
        self.collate = collate

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """One batch with `audio_pixel_values` (media, frames, 3, H, W), right-padded.

        Raises:
            ChatRowError: images and videos, or clips of several lengths, are mixed.
        """
        batch = self.collate(rows)
        pixels = [batch.pop(name) for name in ("pixel_values", "pixel_values_videos") if name in batch]
        frame_mask = batch.pop("frame_mask", None)
        if len(pixels) > 1 or (frame_mask is not None and not frame_mask.all()):
            raise ChatRowError(
                "audio_from_frames: a batch must hold either images or videos of equally many frames. Train on one "
                "data set after the other, or with per_device_train_batch_size=1."
            )
        if pixels:
            batch["audio_pixel_values"] = pixels[0] if pixels[0].dim() == 5 else pixels[0].unsqueeze(1)
        return batch | hear(batch, self.collate.processor)


def hear(batch: Mapping[str, torch.Tensor], processor: ProcessorMixin) -> dict[str, torch.Tensor]:
    """Text whose runs of visual placeholders are as many audio placeholders as a sound has.

    Args:
        batch: `input_ids`, `attention_mask`, `labels` (rows, length), right-padded.
        processor: of Video-LLaMA.

    Returns:
        the three, shorter.
    """
    ids = batch["input_ids"].clone()
    visual = (ids == processor.video_token_id) | (ids == processor.image_token_id)
    ids[visual] = processor.audio_token_id
    counted = visual.cumsum(-1)
    starts = visual.clone()
    starts[:, 1:] &= ~visual[:, :-1]
    place = counted - torch.where(starts, counted, 0).cummax(-1).values  # within a run of placeholders
    kept = ~visual | (place < processor.num_audio_query_tokens)
    kept &= batch["attention_mask"].bool()
    fills = {"input_ids": processor.tokenizer.pad_token_id, "attention_mask": 0, "labels": IGNORED}
    return {
        name: pad_sequence(
            [row[keep] for row, keep in zip(({**batch, "input_ids": ids})[name], kept, strict=True)],
            batch_first=True,
            padding_value=fill,
        )
        for name, fill in fills.items()
    }


__all__ = ["FramesForEars", "hear"]
