# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The model that lmms-eval runs: any of the five, by its folder or Hub id. Imported by lmms-eval alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages

from ..hub.checks import given_length
from ..hub.loading import load, parse_dtype


# What tasks leave open.
DEFAULTS = {"max_new_tokens": 128, "temperature": 0.0, "num_beams": 1}
SAMPLING = ("temperature", "top_p", "top_k")


class VideoLmm(lmms):
    """Answers a task's chats. Arguments come from `--model_args`, as text.

    Args:
        pretrained: folder, Hub id, or name of a shipped model.
        device: where to run; by default the accelerator of this process, else CPU.
        dtype: of the weights; by default that of the files.
        batch_size: chats at a time; all models answer a batch as they answer its members.
        num_frames: frames per video, in place of the model's own rule.
        template: name of one of the processor's chat templates.
        trust_remote_code: run the code of an unknown model.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str = "tiny-pllava",
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str = 1,
        num_frames: int | str | None = None,
        template: str | None = None,
        trust_remote_code: bool | str = False,
        **unused: Any,
    ):
        super().__init__()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            state = PartialState()
            self._rank, self._world_size = state.process_index, state.num_processes
            device = str(state.device)
        self.model, self.processor = load(
            pretrained,
            device=device,
            dtype=None if dtype is None else parse_dtype(dtype),
            trust_remote_code=str(trust_remote_code).lower() == "true",
        )
        self.batch_size, self.template = int(batch_size), template
        self.video_options = {} if num_frames is None else {"num_frames": int(num_frames)}

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answers, in the order of the requests; those with equal settings share batches."""
        results: dict[int, GenerationResult] = {}
        groups: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(repr(sorted(request.args[2].items())), []).append(number)
        for numbers in groups.values():
            settings = requests[numbers[0]].args[2]
            for start in range(0, len(numbers), self.batch_size):
                batch = numbers[start : start + self.batch_size]
                chats = [self.chat(requests[number]) for number in batch]
                results |= zip(batch, self.answer(chats, settings), strict=True)
        return [results[number] for number in range(len(requests))]

    def chat(self, request: Instance) -> list[dict[str, Any]]:
        """A request's messages in the form of the processors' chat templates."""
        _, to_messages, _, document, task, split = request.args
        messages = ChatMessages(messages=to_messages(self.task_dict[task][split][document])).to_hf_messages()
        names = {"video_start": "start", "video_end": "end"}
        return [
            {
                **message,
                "content": [
                    {names.get(key, key): value for key, value in part.items()} for part in message["content"]
                ],
            }
            for message in messages
        ]

    @torch.no_grad()
    def answer(self, chats: Sequence[list[dict[str, Any]]], settings: dict[str, Any]) -> list[GenerationResult]:
        """Answers to a batch of chats, cut at the texts in `until`."""
        inputs = self.processor.apply_chat_template(
            list(chats),
            chat_template=self.template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left", **self.video_options},
        ).to(self.model.device, self.model.dtype)
        chosen = DEFAULTS | {name: settings[name] for name in (*DEFAULTS, *SAMPLING) if name in settings}
        if not chosen["temperature"]:
            chosen = {name: value for name, value in chosen.items() if name not in SAMPLING}
        ids = self.model.generate(**inputs, **chosen, do_sample="temperature" in chosen)
        new = ids[:, given_length(self.model, inputs) :]
        stops = settings.get("until") or []
        texts = [cut(text, [stops] if isinstance(stops, str) else stops) for text in self.decode(new)]
        counts = (new != self.processor.tokenizer.pad_token_id).sum(1).tolist()
        return [
            GenerationResult(text, TokenCounts(output_tokens=count)) for text, count in zip(texts, counts, strict=True)
        ]

    def decode(self, ids: torch.Tensor) -> list[str]:
        return [text.strip() for text in self.processor.batch_decode(ids, skip_special_tokens=True)]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("These models are evaluated by what they say; choose a task that generates.")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("Tasks in several rounds are not supported; choose a task with one round.")


def cut(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of some stops; one that it begins with does not count."""
    for stop in stops:
        if stop.strip():
            text = text.split(stop)[0] or text
    return text
