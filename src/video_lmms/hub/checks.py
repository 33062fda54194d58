# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The stored answer of a folder: recorded by whoever made the weights, replayed by whoever received them.

The video is computed, not stored, so that a folder can prove itself offline. `provenance.json` holds under `check`:

    {"video": {"seed": 0, "frames": 12, "height": 48, "width": 64}, "question": "...", "max_new_tokens": 8,
     "dtype": "bfloat16", "prompt_tokens": 2331, "generated_ids": [...], "answer": "...",
     "leading_logits": {"ids": [...], "values": [...]}, "logits_digest": "sha256:..."}

The logits are those of the first generated token. The digest is of all of them, rounded; the leading ones are stored
as numbers too, because another processor or library version rounds differently and that is no fault of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, ProcessorMixin

from .folders import PROVENANCE, read_json, write_json


QUESTION = "What happens in the video?"
VIDEO = {"seed": 0, "frames": 12, "height": 48, "width": 64}

# What a record holds: the question, then the answer.
ASKED = ("video", "question", "max_new_tokens", "dtype")
ANSWERED = ("prompt_tokens", "generated_ids", "answer", "leading_logits", "logits_digest")

_LEADING = 8
_DIGEST_DECIMALS = 3
# How far the leading logits may move between machines, relative to the largest: a few units in the last place of each
# dtype, times the depth of a large model.
_TOLERANCE = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


class CheckResult(NamedTuple):
    """Outcome of a replay.

    Attributes:
        passed: whether the answer is the stored one and the leading logits are close.
        exact: whether all logits are equal to the rounded digits.
        detail: one line for the reader.
    """

    passed: bool
    exact: bool
    detail: str


def synthetic_video(seed: int, frames: int, height: int, width: int) -> np.ndarray:
    """A textured clip made by integer arithmetic alone, the same on every machine.

    Args:
        seed: which clip.
        frames: number of frames.
        height: in pixels.
        width: in pixels.

    Returns:
        (frames, height, width, 3) uint8: a drifting texture with a coarse random pattern on top.
    """
    time, row, column, channel = np.ogrid[:frames, :height, :width, :3]
    texture = (7 * column + 11 * row * (channel + 1) + 13 * time + 29 * seed) % 128
    cell = (row // 8) * 40503 + (column // 8) * 30011 + (time // 2) * 20011 + channel * 10007 + seed * 7919
    # One step of a linear congruential generator per cell; its high bits look random.
    pattern = (cell.astype(np.int64) * 1103515245 + 12345) % 2**31 >> 24
    return (texture + pattern).astype(np.uint8)


def record_check(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    directory: str | os.PathLike | None = None,
    *,
    question: str = QUESTION,
    max_new_tokens: int = 8,
) -> dict[str, Any]:
    """Answers a question about the synthetic video, and stores the answer for `verify`.

    Args:
        model: as its folder holds it: same dtype, evaluation mode.
        processor: its processor.
        directory: folder whose `provenance.json` receives the record under `check`; None only returns it.
        question: what to ask.
        max_new_tokens: length of the answer.

    Returns:
        The record.
    """
    record = {
        "video": dict(VIDEO),
        "question": question,
        "max_new_tokens": max_new_tokens,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    record |= _run(model, processor, record)[0]
    if directory is not None:
        path = Path(directory) / PROVENANCE
        write_json(path, read_json(path) | {"check": record})
    return record


def replay_check(model: PreTrainedModel, processor: ProcessorMixin, record: dict[str, Any]) -> CheckResult:
    """Runs a stored check again.

    Args:
        model: loaded in the dtype that the record names.
        processor: its processor.
        record: what `record_check` stored.
    """
    found, logits = _run(model, processor, record)
    exact = found["logits_digest"] == record["logits_digest"]
    if found["prompt_tokens"] != record["prompt_tokens"]:
        return CheckResult(
            False, exact, f"the prompt has {found['prompt_tokens']} tokens, {record['prompt_tokens']} are stored"
        )
    if found["generated_ids"] != record["generated_ids"]:
        return CheckResult(False, exact, f"answers {found['answer']!r}, {record['answer']!r} is stored")
    distance = _distance(logits, record["leading_logits"])
    tolerance = _TOLERANCE[record["dtype"]]
    if not exact and distance > tolerance:
        detail = f"same answer, but the leading logits are off by {distance:.2g} (relative); {tolerance:g} is allowed"
        return CheckResult(False, exact, detail)
    closeness = "logits equal" if exact else f"leading logits within {distance:.1g}"
    return CheckResult(True, exact, f"answers {found['answer']!r} as stored, {closeness}")


def given_length(model: PreTrainedModel, inputs: Mapping[str, Any]) -> int:
    """Ids that `generate` repeats before new ones: the prompt, or one start token where an encoder reads it."""
    return 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]


def _run(
    model: PreTrainedModel, processor: ProcessorMixin, record: dict[str, Any]
) -> tuple[dict[str, Any], torch.Tensor]:
    content = [{"type": "video"}, {"type": "text", "text": record["question"]}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[synthetic_video(**record["video"])], return_tensors="pt")
    inputs = inputs.to(model.device, model.dtype)
    with torch.no_grad():
        output = model.generate(
            **inputs,
            max_new_tokens=record["max_new_tokens"],
            do_sample=False,
            num_beams=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
    prompt_tokens = inputs["input_ids"].shape[1]
    new_ids = output.sequences[0, given_length(model, inputs) :]
    logits = output.logits[0][0].float().cpu()
    leading = logits.topk(_LEADING)
    facts = {
        "prompt_tokens": prompt_tokens,
        "generated_ids": new_ids.tolist(),
        "answer": processor.decode(new_ids, skip_special_tokens=True).strip(),
        "leading_logits": {"ids": leading.indices.tolist(), "values": [round(v, 4) for v in leading.values.tolist()]},
        "logits_digest": _digest(logits),
    }
    return facts, logits


def _digest(logits: torch.Tensor) -> str:
    rounded = (logits.double() * 10**_DIGEST_DECIMALS).round().long()
    return "sha256:" + hashlib.sha256(json.dumps(rounded.tolist()).encode()).hexdigest()


def _distance(logits: torch.Tensor, leading: dict[str, list]) -> float:
    stored = torch.tensor(leading["values"])
    difference = (logits[leading["ids"]] - stored).abs().max()
    return float(difference / stored.abs().max())
