# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""PLLaVA's own training text, which differs from every inference prompt.

The user turn ends like an answer (`</s>`), roles have no spaces around them, and the text is tokenised piece by
piece, so that each piece gets its own leading space token. For reproducing the published training; fine-tuning
through the chat template trains on what inference sees.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase


MEDIA_TOKEN = "<image>"
IGNORED = -100


class TrainingRoles(NamedTuple):
    """Role strings and what closes a turn."""

    user: str
    assistant: str
    end: str


VICUNA_ROLES = TrainingRoles("USER:", "ASSISTANT:", "</s>")
IM_START_ROLES = TrainingRoles("<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n")


def training_text(turns: Sequence[dict[str, str]], roles: TrainingRoles) -> str:
    """The text of one sample.

    Args:
        turns: question-answer pairs of the original's annotation files: "q", "a", optional instruction "i".
        roles: of the language model's family.

    Returns:
        the instruction, then user and assistant turns; the media token opens the first question, even an empty one
        (captions), and later empty questions have no user turn.
    """
    instruction = turns[0].get("i")
    text = f"{instruction} " if instruction else ""
    for number, turn in enumerate(turns):
        question = turn.get("q", "")
        if number == 0:
            question = f"{MEDIA_TOKEN}\n{question}"
        if question:
            text += roles.user + question + roles.end
        text += roles.assistant + turn["a"] + roles.end
    return text


def tokenize_training_text(
    text: str, tokenizer: PreTrainedTokenizerBase, roles: TrainingRoles, max_length: int | None = None
) -> tuple[list[int], list[int], list[int]]:
    """Token ids, labels and mask of `training_text`, cut and right-padded to `max_length` where it is given.

    Labels are kept on what follows an assistant role, its end token included.
    """
    role = "|".join(map(re.escape, (roles.user, roles.assistant)))
    ids: list[int] = []
    labels: list[int] = []
    previous = ""
    for number, piece in enumerate(filter(None, re.split(f"({role})", text))):
        tokens = tokenizer(piece, add_special_tokens=number == 0)["input_ids"]
        ids += tokens
        labels += tokens if previous == roles.assistant else [IGNORED] * len(tokens)
        previous = piece
    ids, labels = ids[:max_length], labels[:max_length]
    padding = 0 if max_length is None else max_length - len(ids)
    mask = [1] * len(ids) + [0] * padding
    return ids + [tokenizer.pad_token_id] * padding, labels + [IGNORED] * padding, mask
