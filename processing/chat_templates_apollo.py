# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Apollo's prompts: the chat template, and the preamble that dates a video's clips.

The template leaves one placeholder per medium; the processor replaces a video's by its preamble. Every character
counts, the two newlines after `system` and the comma in "two, 2 second clips" included: the weights were trained on
this text.
"""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np


SYSTEM = "You are a helpful vision-language assistant."

# A medium is separated from its neighbours by a blank line. A turn without text is left open, as in the original.
_TEMPLATE = """\
{%- set image_token = "IMAGE_TOKEN" -%}
{%- set video_token = "VIDEO_TOKEN" -%}
{%- macro render(content) -%}
    {%- if content is string -%}
        {{- content -}}
    {%- else -%}
        {%- for part in content -%}
            {%- set text = {"image": image_token, "video": video_token}.get(part.type, part.text) -%}
            {%- set apart = not loop.first and (part.type != "text" or loop.previtem.type != "text") -%}
            {{- ("\\n\\n" if apart else "") ~ text -}}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(system="SYSTEM_TEXT") -%}
{%- for message in messages if message.role == "system" -%}
    {%- set ns.system = render(message.content) -%}
{%- endfor -%}
{{- "<|im_start|>system\\n\\n" ~ ns.system ~ "<|im_end|>\\n" -}}
{%- for message in messages if message.role != "system" -%}
    {%- set text = render(message.content) -%}
    {{- "<|im_start|>" ~ message.role ~ "\\n" -}}
    {%- if message.role == "assistant" -%}
        {%- generation -%}{%- if text -%}{{- text ~ "<|im_end|>\\n" -}}{%- endif -%}{%- endgeneration -%}
    {%- elif text -%}
        {{- text ~ "<|im_end|>\\n" -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
"""

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def chat_template(image_token: str, video_token: str) -> str:
    """The Jinja chat template for the given placeholders."""
    names = {"IMAGE_TOKEN": image_token, "VIDEO_TOKEN": video_token, "SYSTEM_TEXT": SYSTEM}
    template = _TEMPLATE
    for name, value in names.items():
        template = template.replace(name, value)
    return template


def number_in_words(number: int) -> str:
    """English cardinal of 0 to 999,999: "one thousand, two hundred and thirty-four".

    Raises:
        ValueError: a number out of range.
    """
    if not 0 <= number < 10**6:
        raise ValueError(f"Numbers from 0 to 999,999 can be written out, got {number}.")
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, units = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[units]}" if units else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_SMALL[hundreds]} hundred" + (f" and {number_in_words(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    words = f"{number_in_words(thousands)} thousand"
    if not rest:
        return words
    return f"{words}{' and' if rest < 100 else ','} {number_in_words(rest)}"


def timestamp(start: float, end: float) -> str:
    """What stands before a clip's tokens. NumPy rounds the binary value times ten, so 0.15 gives 0.2, not 0.1."""
    return f"{np.round(start, 1):.1f}-{np.round(end, 1):.1f} seconds: "


def video_preamble(
    times: Sequence[tuple[float, float]], seconds: float, clip_duration: float, tokens_of_clip: str
) -> str:
    """The text that stands for a video.

    Args:
        times: (start, end) of every clip, in seconds.
        seconds: length of the video; printed as `timedelta` prints it, with six decimals where not whole.
        clip_duration: seconds of a clip.
        tokens_of_clip: placeholders of one clip.
    """
    head = (
        f"You are provided the following series of {number_in_words(len(times))}, {clip_duration} second clips from a "
        f"{timedelta(seconds=seconds)} [H:MM:SS] video.\n"
    )
    return head + ",\n".join(timestamp(start, end) + tokens_of_clip for start, end in times)


__all__ = ["SYSTEM", "chat_template", "number_in_words", "timestamp", "video_preamble"]
