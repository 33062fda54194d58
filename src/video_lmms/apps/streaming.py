# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How answers are made: the options of one answer, its text piece by piece, and how to end it early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer


# What a tokenizer decodes an unfinished character to.
_UNFINISHED = "�"


@dataclass(frozen=True)
class AnswerOptions:
    """How one answer is generated.

    Attributes:
        max_new_tokens: longest answer.
        temperature: 0 always takes the likeliest token; above, the distribution is flattened by it and drawn from.
        top_p: draws from the likeliest tokens that have this probability together.
        top_k: draws from this many tokens.
        repetition_penalty: divides the scores of tokens that were there before; 1 does nothing.
        frequency_penalty: subtracted from a token's score for every time the answer has used it.
        presence_penalty: subtracted from a token's score if the answer has used it.
        seed: draws the same again; None: draws on.
        num_beams: answers that are followed at once, of which the likeliest is given; above 1 it comes in one piece.
        stop: strings that end an answer and are not part of it.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    num_beams: int = 1
    stop: tuple[str, ...] = ()

    def generation_config(self, defaults: GenerationConfig) -> GenerationConfig:
        """The model's own settings with these in their place."""
        sampling = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if self.temperature > 0:
            sampling = {
                "do_sample": True,
                "temperature": float(self.temperature),
                "top_p": float(self.top_p),
                "top_k": self.top_k or 0,
            }
        settings = defaults.to_dict() | sampling
        settings |= {
            "max_new_tokens": self.max_new_tokens,
            "max_length": None,
            "num_beams": self.num_beams,
            "num_return_sequences": 1,
            "repetition_penalty": float(self.repetition_penalty),
            "stop_strings": list(self.stop) or None,
        }
        return GenerationConfig.from_dict(settings)


class UsagePenalty(LogitsProcessor):
    """OpenAI's `frequency_penalty` and `presence_penalty`: scores go down with the answer's own use of a token.

    Args:
        frequency: for every time.
        presence: once.
        prompt_length: ids that are not the answer's.
    """

    def __init__(self, frequency: float, presence: float, prompt_length: int):
        self.frequency, self.presence, self.prompt_length = frequency, presence, prompt_length

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        used = input_ids[:, self.prompt_length :]
        counts = torch.zeros_like(scores).scatter_add_(1, used, torch.ones_like(used, dtype=scores.dtype))
        return scores - self.frequency * counts - self.presence * (counts > 0)


class StopWhen(StoppingCriteria):
    """Ends generation once an event is set, by whoever."""

    def __init__(self, event: threading.Event):
        self.event = event

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.BoolTensor:
        return torch.full((len(input_ids),), self.event.is_set(), dtype=torch.bool, device=input_ids.device)


class AnswerStreamer(BaseStreamer):
    """Passes an answer's text on as it grows; the pieces together are `text`, the answer.

    White space at both ends and what a stop string cuts off are not part of it.

    Args:
        decode: token ids to text, special tokens left out.
        show: receives the pieces.
        stops: strings that end the answer.

    Attributes:
        tokens: ids so far.
        text: what was passed on.
        stopped: whether a stop string came.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        show: Callable[[str], None] | None = None,
        stops: Sequence[str] = (),
    ):
        self.decode, self.show, self.stops = decode, show or (lambda piece: None), tuple(filter(None, stops))
        self.on_first_token: Callable[[], None] = lambda: None
        self.tokens: list[int] = []
        self.text = ""
        self.stopped = False
        self._prompt_is_next, self._held = True, ""
        # Tokens behind `_read` have not been taken yet; those behind `_context` are decoded with them, because what a
        # token looks like depends on its neighbours.
        self._context = self._read = 0

    def put(self, value: torch.Tensor) -> None:
        """Takes a prompt, then one token after the other."""
        if self._prompt_is_next:
            self._prompt_is_next = False
            return
        if not self.tokens:
            self.on_first_token()
        self.tokens += value.flatten().tolist()
        known = self.decode(self.tokens[self._context : self._read])
        text = self.decode(self.tokens[self._context :])
        if len(text) > len(known) and not text.endswith(_UNFINISHED):
            self._context, self._read = self._read, len(self.tokens)
            self._take(text[len(known) :])

    def end(self) -> None:
        """Passes on what was held back; called by `generate`."""
        known = self.decode(self.tokens[self._context : self._read])
        self._take(self.decode(self.tokens[self._context :])[len(known) :])
        self._show(self._held.rstrip())

    def _take(self, text: str) -> None:
        """Shows what is known so far, except for an end that may still turn out to be no part of the answer."""
        if self.stopped:
            return
        text = self._held + text
        places = [place for place in map(text.find, self.stops) if place >= 0]
        if places:
            text, self.stopped = text[: min(places)], True
        if not self.text:
            text = text.lstrip()
        doubtful = 0 if self.stopped else max((overlap(text, stop) for stop in self.stops), default=0)
        shown = text[: len(text) - doubtful].rstrip()
        self._held = "" if self.stopped else text[len(shown) :]
        self._show(shown)

    def _show(self, piece: str) -> None:
        if piece:
            self.text += piece
            self.show(piece)


def overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` that may be the beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop)), 0, -1) if text.endswith(stop[:size])), 0)


__all__ = ["AnswerOptions", "AnswerStreamer", "StopWhen", "UsagePenalty", "overlap"]
