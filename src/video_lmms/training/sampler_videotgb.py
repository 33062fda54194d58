# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The original's route to a frame selector, each step a function:

    spans = [label_row(ask(row), row["answer"]) for row in rows]                 # 1. what single frames answer
    files = extract_flow(model.flow_model, videos, "flow/")                      #    flow, once per video
    train_sampler(model.grounding, samples, tokenizer)                           # 2. spans from flow and question
    frames = fixed_frames(model.grounding, samples, tokenizer, 32, 4)            # 3. what the fixed selector takes

and the model is then trained with `frames` as its `frame_indices`. Nothing of the language model's loss reaches the
selector, in the original neither: taking the largest score has no gradient.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from video_lmms.modeling.modeling_videotgb_frame_choice import FrameChoice, choose_frames
from video_lmms.modeling.modeling_videotgb_grounding import VideotgbGroundingModel, span_loss
from video_lmms.training.batches import batches
from video_lmms.training.flow_videotgb import read_flow
from video_lmms.training.spans_videotgb import label_span, rescale, span_metrics, unigram_recall


@dataclass
class SpanSample:
    """A clip, a question, and which part of the clip answers it.

    Attributes:
        flow: (frames, 2, S, S), or the file that holds it.
        question: plain text.
        span: first and last flow frame of the answer; None where it is not known.
    """

    flow: torch.Tensor | Path
    question: str
    span: tuple[int, int] | None = None

    def load(self) -> torch.Tensor:
        """The flow, (frames, 2, S, S) float32."""
        return read_flow(self.flow) if isinstance(self.flow, Path) else self.flow


@dataclass
class SamplerRecipe:
    """Settings of [`train_sampler`]; the defaults are the original's.

    Attributes:
        epochs: passes over the samples.
        batch_size: samples per step.
        learning_rate: constant.
        weight_decay: as an L2 term of the loss, in plain Adam.
        max_words: longest question in tokens.
        seed: of the order.
    """

    epochs: float = 3
    batch_size: int = 32
    learning_rate: float = 5e-5
    weight_decay: float = 0.05
    max_words: int = 128
    seed: int = 0


def label_row(answers: Sequence[str], gold: str, subtract_minimum: bool = False) -> tuple[int, int]:
    """A pseudo label: which frames a question needs, from what the base model answers to each frame alone.

    Args:
        answers: one per candidate frame.
        gold: the right answer.
        subtract_minimum: see [`label_span`].

    Returns:
        First and last candidate frame.
    """
    return label_span([unigram_recall(gold, answer) for answer in answers], subtract_minimum)


def to_flow_frames(span: tuple[int, int], num_candidates: int, num_flow_frames: int) -> tuple[int, int]:
    """A span of candidate frames as one of flow frames."""
    first, last = (rescale(frame, num_candidates, num_flow_frames) for frame in span)
    return first, last


def score_samples(
    grounding: VideotgbGroundingModel,
    samples: Sequence[SpanSample],
    tokenizer: PreTrainedTokenizerBase,
    max_words: int = 128,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (samples, longest clip, 2) and the clips' lengths (samples,) of one batch."""
    device = grounding.device
    flows = [sample.load().to(device) for sample in samples]
    text = tokenizer(
        [sample.question for sample in samples],
        padding=True,
        padding_side="right",
        truncation=True,
        max_length=max_words,
        return_tensors="pt",
    ).to(device)
    lengths = torch.tensor([len(flow) for flow in flows], device=device)
    features = [grounding.encode_flow([flow]) for flow in flows]
    return grounding.score_clips(features, lengths, text["input_ids"], text["attention_mask"]), lengths


def train_sampler(
    grounding: VideotgbGroundingModel,
    samples: Sequence[SpanSample],
    tokenizer: PreTrainedTokenizerBase,
    recipe: SamplerRecipe | None = None,
) -> list[float]:
    """Trains all weights of the span encoder in place (its rotary tables are not trained anywhere).

    Args:
        grounding: the span encoder.
        samples: with spans.
        tokenizer: of the questions.
        recipe: settings; the original's by default.

    Returns:
        The loss of every step.

    Raises:
        ValueError: a sample without a span.
    """
    recipe = recipe or SamplerRecipe()
    unlabelled = sum(sample.span is None for sample in samples)
    if unlabelled:
        raise ValueError(f"{unlabelled} of {len(samples)} samples have no span. Label them first, or leave them out.")
    learned = [parameter for parameter in grounding.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, round(recipe.epochs * len(samples) / recipe.batch_size))
    grounding.train()
    losses = []
    for rows in batches(len(samples), min(recipe.batch_size, len(samples)), steps, recipe.seed):
        chosen = [samples[row] for row in rows.tolist()]
        logits, lengths = score_samples(grounding, chosen, tokenizer, recipe.max_words)
        starts, ends = torch.tensor([sample.span for sample in chosen], device=logits.device).unbind(1)
        mask = torch.arange(logits.shape[1], device=logits.device) < lengths.unsqueeze(1)
        loss = span_loss(logits, starts, ends, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    grounding.eval()
    return losses


@torch.no_grad()
def choose(
    grounding: VideotgbGroundingModel,
    samples: Sequence[SpanSample],
    tokenizer: PreTrainedTokenizerBase,
    num_candidates: int,
    num_frames: int,
    batch_size: int = 32,
) -> Iterator[FrameChoice]:
    """What the selector takes, batch by batch, without noise."""
    for start in range(0, len(samples), batch_size):
        logits, lengths = score_samples(grounding, samples[start : start + batch_size], tokenizer)
        yield choose_frames(logits, lengths, num_candidates, num_frames, grounding.config)


def fixed_frames(
    grounding: VideotgbGroundingModel,
    samples: Sequence[SpanSample],
    tokenizer: PreTrainedTokenizerBase,
    num_candidates: int = 32,
    num_frames: int = 4,
) -> torch.Tensor:
    """Candidate frames (samples, num_frames) that the trained selector takes: the model's `frame_indices`."""
    chosen = choose(grounding, samples, tokenizer, num_candidates, num_frames)
    return torch.cat([choice.frame_indices for choice in chosen])


def measure_spans(
    grounding: VideotgbGroundingModel, samples: Sequence[SpanSample], tokenizer: PreTrainedTokenizerBase
) -> dict[str, float]:
    """Mean overlap of predicted and given spans, and the shares with an overlap of at least 0.3 and 0.5."""
    spans = torch.cat([choice.spans[:, 0] for choice in choose(grounding, samples, tokenizer, 1, 1)])
    return span_metrics(spans, torch.tensor([sample.span for sample in samples], device=spans.device))


__all__ = [
    "SamplerRecipe",
    "SpanSample",
    "choose",
    "fixed_frames",
    "label_row",
    "measure_spans",
    "score_samples",
    "to_flow_frames",
    "train_sampler",
]
