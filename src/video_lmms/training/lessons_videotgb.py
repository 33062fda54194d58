# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Training and asking VideoTGB with frames that are already chosen: the language side of the original's recipe."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from video_lmms.data.collator import IGNORED
from video_lmms.modeling.modeling_videotgb import VideotgbForConditionalGeneration
from video_lmms.processing.processing_videotgb import VideotgbProcessor
from video_lmms.training.batches import batches


@dataclass
class Lesson:
    """A question about chosen frames.

    Attributes:
        frames: (frames, 3, H, W), normalised.
        prompt: token ids of the prompt, placeholders included.
        target: token ids of the answer and the end of the turn; empty where it is to be found out.
        question: token ids that the Q-Former reads.
    """

    frames: torch.Tensor
    prompt: torch.Tensor
    target: torch.Tensor
    question: torch.Tensor


def make_lesson(processor: VideotgbProcessor, frames: torch.Tensor, question: str, gold: str | None = None) -> Lesson:
    """A lesson from the words of a question and its answer, in the prompt of the processor's chat template."""
    content = [{"type": "video"}, {"type": "text", "text": question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    expanded = prompt.replace(processor.video_token, processor.video_token * processor.num_video_tokens())
    target = [] if gold is None else [*ids_of(processor.tokenizer, gold), processor.tokenizer.eos_token_id]
    return Lesson(
        frames=frames,
        prompt=torch.tensor(ids_of(processor.tokenizer, expanded)),
        target=torch.tensor(target, dtype=torch.long),
        question=torch.tensor(processor.qformer_tokenizer(processor.plain_text(prompt))["input_ids"]),
    )


def ids_of(tokenizer: object, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def join_lessons(lessons: Sequence[Lesson], pad_id: int, padding_side: str) -> dict[str, torch.Tensor]:
    """The model's inputs for lessons with equally many frames; labels hold the targets."""
    texts = [torch.cat([lesson.prompt, lesson.target]) for lesson in lessons]
    labels = [torch.cat([torch.full_like(lesson.prompt, IGNORED), lesson.target]) for lesson in lessons]
    questions = [lesson.question for lesson in lessons]

    def pad(rows: list[torch.Tensor], value: int, side: str) -> torch.Tensor:
        return pad_sequence(rows, batch_first=True, padding_value=value, padding_side=side)

    frames = torch.stack([lesson.frames for lesson in lessons]).float()
    return {
        "input_ids": pad(texts, pad_id, padding_side),
        "attention_mask": pad([torch.ones_like(row) for row in texts], 0, padding_side),
        "labels": pad(labels, IGNORED, padding_side),
        "qformer_input_ids": pad(questions, pad_id, "right"),
        "qformer_attention_mask": pad([torch.ones_like(row) for row in questions], 0, "right"),
        "pixel_values_videos": frames,
        "frame_indices": torch.arange(frames.shape[1]).expand(len(lessons), -1),
    }


def fit(
    model: VideotgbForConditionalGeneration,
    lessons: Sequence[Lesson],
    learned: Sequence[nn.Module],
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
) -> list[float]:
    """Trains the given parts, and the queries, to answer; everything else stays as it is.

    Args:
        model: any state; left in evaluation mode.
        lessons: with targets.
        learned: parts of the model that learn.
        steps: optimiser steps.
        batch_size: lessons per step.
        learning_rate: at its highest; rises for a tenth of the steps and falls to zero (one cycle).
        seed: of the order.

    Returns:
        The loss of every step.
    """
    model.requires_grad_(False)
    for part in learned:
        part.requires_grad_(True)
    model.model.query_tokens.requires_grad_(True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    model.train()
    losses = []
    for rows in batches(len(lessons), min(batch_size, len(lessons)), steps, seed):
        batch = [lessons[row] for row in rows.tolist()]
        loss = model(**join_lessons(batch, model.config.text_config.pad_token_id, "right"), use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    model.eval()
    model.requires_grad_(True)
    for table in (model.model.grounding.encoder.rotary_table, model.model.grounding.encoder.cross_rotary_table):
        table.requires_grad_(False)
    return losses


@torch.no_grad()
def answer(
    model: VideotgbForConditionalGeneration, processor: VideotgbProcessor, lessons: Sequence[Lesson], words: int = 2
) -> list[str]:
    """What the model says to lessons without targets; greedy, at most `words` tokens."""
    inputs = join_lessons(lessons, processor.tokenizer.pad_token_id, "left")
    del inputs["labels"]
    new = model.generate(**inputs, max_new_tokens=words, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]
