# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How PLLaVA's published numbers read an answer.

Restates the rules of https://github.com/magic-research/PLLaVA (Apache-2.0); see its paper, arXiv 2404.16994.
"""

OPTION_LETTERS = "abcdefg"
# What the model was asked when it captioned videos anew, to the letter; numbers depend on it.
RECAPTION_REQUEST = (
    "You are to assist me in accomplishing a task about the input video. Reply to me with a precise yet detailed"
    " response. For how you would succeed in the recaptioning task, read the following Instructions section and Then,"
    " make your response with a elaborate paragraph.\n# Instructions\n1. Avoid providing over detailed information"
    " such as color, counts of any objects as you are terrible regarding observing these details\n2. Instead, you"
    " should carefully go over the provided video and reason about key information about the overall video\n3. If you"
    " are not sure about something, do not include it in you response.\n# Task\nDescribe the background, characters"
    " and the actions in the provided video.\n"
)


def extract_answer(decoded: str, assistant_role: str, separator: str) -> str:
    """The answer inside a whole decoded conversation.

    The original decodes prompt and answer together; code of our own decodes the new tokens only and needs none of
    this.

    Args:
        decoded: the conversation without special tokens.
        assistant_role: what opens an answer, as decoding prints it ("ASSISTANT:", "<|im_start|> assistant\\n").
        separator: what closes an answer ("</s>", "<|im_end|>\\n"); one trailing occurrence is removed.
    """
    return decoded.split(assistant_role)[-1].strip().removesuffix(separator.strip()).strip()


def mvbench_is_correct(prediction: str, answer: str) -> bool:
    """MVBench's check of a multiple-choice answer.

    Args:
        prediction: the model's words, such as "(a) red cup" or "A.".
        answer: the right option in full, such as "(A) red cup".
    """
    words = prediction.lower().split()
    chosen = words[0] if words else ""
    right = answer.lower().split()[0]
    if not any(letter in chosen for letter in OPTION_LETTERS):
        return False
    return chosen.replace(".", "") in right or right in chosen
