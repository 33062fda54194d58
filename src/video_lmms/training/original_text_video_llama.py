# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's own training text: instruction data of both language models, and captions.

It differs from every inference prompt: a line break ends each turn of a Vicuna conversation, whose loss covers the
`###` in front of human turns and everything of the assistant's; Llama 2 has a single space as system text. For
reproducing the published training; fine-tuning through the chat template trains on what inference sees.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase


IGNORED = -100
MARKER = "<ImageHere>"
HEADER = "\n\n"
BEGIN, END = "###", "\n"
SYSTEM = "<<SYS>>\n \n<</SYS>>\n\n"
MAX_CAPTION_WORDS = 50


class Turn(NamedTuple):
    """One turn of a conversation."""

    human: bool
    text: str


def to_turns(source: Sequence[Mapping[str, str]], num_tokens: int, video_message: str | None) -> list[Turn]:
    """Turns of one row of an annotation file, its medium written out.

    Args:
        source: of VideoChat's kind ("q", "a") or of LLaVA's ("from", "value", with `<image>` in place).
        num_tokens: markers that stand for the medium.
        video_message: sentence on the frames, before the first question of a video; None for images.
    """
    markers = MARKER * num_tokens
    if "q" not in source[0]:
        image = f"<Image>{markers}</Image>"
        return [Turn(row["from"] == "human", row["value"].replace("<image>", image)) for row in source]
    turns = []
    for number, row in enumerate(source):
        before = f"<Video>{markers}</Video> {video_message or ''}" if number == 0 else ""
        turns += [Turn(True, before + row["q"]), Turn(False, row["a"])]
    return turns


def tokenize_vicuna(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids and labels of a Vicuna conversation.

    Turns are told apart by their lengths when tokenised alone. Such a turn has a beginning token too many and writes
    its `###` as one token instead of two, so the lengths add up; with other tokenizers than LLaMA's they need not.
    """
    pieces = [f"{BEGIN}{'Human' if turn.human else 'Assistant'}: {turn.text}{END}" for turn in turns]
    ids = tokenizer(HEADER + "".join(pieces) + BEGIN)["input_ids"]
    labels = list(ids)
    at = len(tokenizer(HEADER)["input_ids"])
    labels[:at] = [IGNORED] * at
    for turn, piece in zip(turns, pieces, strict=True):
        length = len(tokenizer(piece)["input_ids"])
        if turn.human:
            labels[at + 2 : at + length] = [IGNORED] * (length - 2)
        at += length
    return ids, labels


def tokenize_llama(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids and labels of a Llama 2 conversation: every answer with its end token is learned.

    A turn is labelled by lengths too: its end token makes up for the beginning token that it lacks in the middle.
    """
    pieces = []
    for number, (question, answer) in enumerate(zip(turns[::2], turns[1::2], strict=True)):
        system = SYSTEM if number == 0 else ""
        pieces.append((f"[INST] {system}{question.text} [/INST] ", f"{answer.text} </s>"))
    ids = tokenizer("<s>".join(instruction + answer for instruction, answer in pieces))["input_ids"]
    labels, at = [IGNORED] * len(ids), 0
    for instruction, answer in pieces:
        length = len(tokenizer(instruction + answer)["input_ids"])
        # The space behind the instruction belongs to the answer's first word.
        start = at + len(tokenizer(instruction.rstrip(" "))["input_ids"])
        labels[start : at + length] = ids[start : at + length]
        at += length
    return ids, labels


def tokenize_captions(
    captions: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    num_tokens: int,
    end: str,
    max_length: int,
    prompt: str | None = None,
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Token ids, labels and masks of a batch of captions, right-padded with the tokenizer's padding token.

    Args:
        captions: cleaned.
        tokenizer: of the language model.
        num_tokens: markers that stand for the medium.
        end: behind each caption.
        max_length: longest caption in tokens, `end` included.
        prompt: text around one marker; None: the medium alone stands before the caption.
    """
    marker = tokenizer.convert_tokens_to_ids(MARKER)
    before, after = (prompt or MARKER).split(MARKER)
    front = [tokenizer.bos_token_id, *tokenizer.encode(before, add_special_tokens=False)] + [marker] * num_tokens
    front += tokenizer.encode(after, add_special_tokens=False) if after else []
    rows = [tokenizer.encode(caption + end, add_special_tokens=False)[:max_length] for caption in captions]
    longest = max(map(len, rows))
    ids, labels, masks = [], [], []
    for row in rows:
        padding = longest - len(row)
        ids.append(front + row + [tokenizer.pad_token_id] * padding)
        labels.append([IGNORED] * len(front) + row + [IGNORED] * padding)
        masks.append([1] * (len(front) + len(row)) + [0] * padding)
    return ids, labels, masks


def clean_caption(caption: str) -> str:
    """A caption of WebVid as the original trains on it: lower case, without most punctuation, at most 50 words."""
    caption = re.sub(r"([.!\"()*#:;~])", " ", caption.lower())
    caption = re.sub(r"\s{2,}", " ", caption).rstrip("\n").strip(" ")
    words = caption.split(" ")
    return " ".join(words[:MAX_CAPTION_WORDS])
