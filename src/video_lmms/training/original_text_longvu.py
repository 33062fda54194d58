# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVU's own training text and labels, after https://github.com/Vision-CAIR/LongVU (Apache-2.0).

The text is what inference sees. The labels differ from those of the chat template: the assistant's header is learned,
and so are the marks between turns, wherever they stand. For reproducing the published training.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase


MEDIA_TOKEN = "<image>"
SYSTEM = "You are a helpful assistant."
IGNORED = -100
ROLES = {"human": "user", "gpt": "assistant"}


class TrainingFormat(NamedTuple):
    """How a language model's turns are written.

    Attributes:
        opening: before the system turn.
        turn: a format of `role` and `text`.
        learned: marks whose ids are learned everywhere.
        strips: whether blanks around a turn's text are removed.
    """

    opening: str
    turn: str
    learned: tuple[str, ...]
    strips: bool


QWEN_FORMAT = TrainingFormat("", "<|im_start|>{role}\n{text}<|im_end|>\n", ("\n", "<|im_start|>", "<|im_end|>"), False)
# The original names "\n\n" here too, but under a spelling that no Llama vocabulary has.
LLAMA3_FORMAT = TrainingFormat(
    "<|begin_of_text|>",
    "<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>",
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    True,
)


def place_media(text: str) -> str:
    """Moves a turn's `<image>` or `<video>` to the front, as `<image>` and a line break."""
    if MEDIA_TOKEN not in text and "<video>" not in text:
        return text
    return f"{MEDIA_TOKEN}\n{text.replace(MEDIA_TOKEN, '').replace('<video>', '').strip()}"


def training_tokens(
    conversations: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase, form: TrainingFormat
) -> tuple[list[int], list[int]]:
    """Token ids and labels of one sample, before its video is expanded.

    Args:
        conversations: turns of the original's annotation files: "from" ("human" or "gpt") and "value".
        tokenizer: with `<image>` as one token.
        form: of the language model's family.

    Raises:
        KeyError: another speaker.
    """
    learned = {token for mark in form.learned for token in tokenizer(mark, add_special_tokens=False)["input_ids"]}
    turns = [("system", SYSTEM), *((ROLES[turn["from"]], place_media(turn["value"])) for turn in conversations)]
    ids: list[int] = []
    labels: list[int] = []
    for number, (role, text) in enumerate(turns):
        piece = form.turn.format(role=role, text=text.strip() if form.strips else text)
        tokens = tokenizer(piece if number else form.opening + piece, add_special_tokens=False)["input_ids"]
        ids += tokens
        labels += [token if role == "assistant" or token in learned else IGNORED for token in tokens]
    return ids, labels
