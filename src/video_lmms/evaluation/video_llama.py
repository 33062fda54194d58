# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How Video-LLaMA's demos read an answer.

Restates the rules of https://github.com/DAMO-NLP-SG/Video-LLaMA (BSD-3-Clause).
"""

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase


# What ends an answer, and what the last role before it is called.
ENDS = {"vicuna": ("###", "Assistant:"), "llama_v2": ("</s>", "ASSISTANT:")}
BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def decode_answer(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Text of new tokens, special ones included, as SentencePiece spells it.

    It differs from the tokenizer's own decoding where a model strings bytes together that are no UTF-8: every byte
    that fits into no character becomes a replacement character, and its neighbours stay.

    Args:
        ids: new tokens. The first may be the unknown token, and then the beginning token: both are dropped.
        tokenizer: of the model.
    """
    ids = list(ids)
    for leading in (tokenizer.unk_token_id, tokenizer.bos_token_id):
        if ids and ids[0] == leading:
            ids = ids[1:]
    special = set(tokenizer.all_special_tokens)
    text, spelled, after_special = "", b"", False
    for token in tokenizer.convert_ids_to_tokens(ids):
        if token in special:
            text += ("" if after_special else " ") + _read_bytes(spelled) + token
            spelled, after_special = b"", True
            continue
        found = BYTE.fullmatch(token)
        spelled += bytes([int(found[1], 16)]) if found else token.replace("▁", " ").encode()
        after_special = False
    return text + _read_bytes(spelled)


def _read_bytes(spelled: bytes) -> str:
    text = spelled.decode("utf-8", errors="surrogateescape")
    return "".join("\ufffd" if "\udc80" <= char <= "\udcff" else char for char in text).removeprefix(" ")


def extract_answer(decoded: str, style: str) -> str:
    """The answer inside decoded text.

    Args:
        decoded: new tokens, or a whole conversation, with special tokens.
        style: "vicuna" or "llama_v2".
    """
    stop, role = ENDS[style]
    return decoded.split(stop)[0].split(role)[-1].strip()
