# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Greedy answers to the first question of chat rows: what accuracy during and after training is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, ProcessorMixin


@torch.no_grad()
def answers(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    rows: Sequence[Mapping[str, Any]],
    batch_size: int,
    max_new_tokens: int = 32,
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each row with the model's answer to what its conversation holds before the assistant's first words."""
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        inputs = processor.apply_chat_template(
            [_question(row) for row in batch],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        ).to(model.device, model.dtype)
        ids = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        new = ids[:, 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1] :]
        yield from zip(batch, processor.batch_decode(new, skip_special_tokens=True), strict=True)


def share_of_right_answers(
    model: PreTrainedModel, processor: ProcessorMixin, rows: Sequence[Mapping[str, Any]], batch_size: int
) -> float:
    """Share of rows whose answer equals the assistant's first words, case and outer spaces aside."""
    hits = [
        said.strip().lower() == _answer(row).strip().lower()
        for row, said in answers(model, processor, rows, batch_size)
    ]
    return sum(hits) / len(hits)


def _first_answer(row: Mapping[str, Any]) -> int:
    return next(number for number, message in enumerate(row["messages"]) if message["role"] == "assistant")


def _question(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return row["messages"][: _first_answer(row)]


def _answer(row: Mapping[str, Any]) -> str:
    content = row["messages"][_first_answer(row)]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


__all__ = ["answers", "share_of_right_answers"]
