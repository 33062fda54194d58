# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""PLLaVA's prompts as named chat templates.

Strings restate https://github.com/magic-research/PLLaVA (Apache-2.0) to the letter, missing spaces included: the
published numbers depend on them. A template is a row of the table below in front of one Jinja body.

Chat to prompt: a system message replaces the template's own; the last answer is left open with
`continue_final_message=True` (the original's answer prefill). Template arguments: `pre_query_prompt`,
`post_query_prompt`, `answer_prompt`.
"""

import json
from typing import NamedTuple


# There is no space after "language." in the original.
VCG_SYSTEM = (
    "You are Video-ChatGPT, a large vision-language assistant. You are able to understand the video"
    " content that the user provides, and assist the user with a variety of tasks using natural"
    " language.Follow the instructions carefully and explain your answers in detail based on the"
    " provided video."
)
MVBENCH_SYSTEM = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail and"
    " movement of objects, and the action and pose of persons. Based on your observations, select the"
    " best option that accurately addresses the question.\n"
)
RECAPTION_SYSTEM = (
    "You are a powerful Video Magic ChatBot, a large vision-language assistant. \nYou are able to"
    " understand the video content that the user provides and assist the user in a video recaptioning"
    " task.\nThe user will provide you with the video and maybe some extra noisy information to help"
    " you out. Make use of the information in a proper way to be competent for the recaption job\n###"
    " INSTRUCTIONS:\n1. Follow the user's instruction.\n2. Be critical yet believe in yourself.\n"
)
VIDEOQA_QUESTION = (
    "The input consists of a sequence of key frames from a video. Answer the question concisely first"
    " and followed by significant events, characters, or objects that appear throughout the frames."
    " Question:"
)


class Prompt(NamedTuple):
    """One conversation form.

    Attributes:
        system: text before the first turn; a caller's system message replaces it.
        roles: what opens a user and an assistant turn.
        separators: what closes them.
        media_token: placeholder of one medium with what follows it.
        media_alone: whether a medium is a user turn of its own, or stands before the question.
        pre_query: text before each question.
        post_query: text after each question.
        answer: opening words of the answer.
    """

    system: str
    roles: tuple[str, str]
    separators: tuple[str, str]
    media_token: str
    media_alone: bool
    pre_query: str = ""
    post_query: str = ""
    answer: str = ""


VICUNA = {"roles": ("USER: ", "ASSISTANT:"), "separators": (" ", "</s>"), "media_token": "<image>\n"}
IM_START = {
    "roles": ("<|im_start|>user\n", "<|im_start|>assistant\n"),
    "separators": ("<|im_end|>\n", "<|im_end|>\n"),
    "media_token": "<image>\n",
}
VIDEOQA = {"pre_query": VIDEOQA_QUESTION, "post_query": "\n", "answer": "\nAnswer: In the video,"}

PROMPTS: dict[str, Prompt] = {
    "plain": Prompt("", ("USER:", "ASSISTANT:"), (" ", "</s>"), "<image>", media_alone=False),
    # The original has no plain form for the 34b model: this is its training text with the turns closed as in tests.
    "plain_llavanext": Prompt("", **IM_START, media_alone=False),
    "eval_vcgbench": Prompt(VCG_SYSTEM, **VICUNA, media_alone=True),
    "eval_vcg_llavanext": Prompt(VCG_SYSTEM, **IM_START, media_alone=True),
    "eval_mvbench": Prompt(MVBENCH_SYSTEM, **VICUNA, media_alone=True),
    # The published 34b numbers use VCGBench's system text here.
    "eval_mvbench_llavanext": Prompt(VCG_SYSTEM, **IM_START, media_alone=True),
    "eval_videoqabench": Prompt("", **VICUNA, media_alone=False, **VIDEOQA),
    "eval_videoqa_llavanext": Prompt(
        "<|im_start|>system\nAnswer the question.", **IM_START, media_alone=False, **VIDEOQA
    ),
    "eval_recaption": Prompt(RECAPTION_SYSTEM, **VICUNA, media_alone=True),
    "eval_recaption_llavanext": Prompt(RECAPTION_SYSTEM, **IM_START, media_alone=True),
}

BODY = """\
{%- macro text_of(content) -%}
    {%- if content is string -%}
        {{ content }}
    {%- else -%}
        {%- for part in content if part.type == "text" -%}{{ part.text }}{%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- set pre = pre_query_prompt if pre_query_prompt is defined else prompt.pre_query -%}
{%- set post = post_query_prompt if post_query_prompt is defined else prompt.post_query -%}
{%- set answer = answer_prompt if answer_prompt is defined else prompt.answer -%}
{%- set ns = namespace(system=prompt.system) -%}
{%- for message in messages if message.role == "system" -%}
    {%- set ns.system = text_of(message.content) -%}
{%- endfor -%}
{%- if ns.system -%}{{ ns.system ~ prompt.separators[0] }}{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == "user" -%}
        {%- set media = 0 -%}
        {%- if message.content is not string -%}
            {%- set media = message.content | selectattr("type", "in", ["image", "video"]) | list | length -%}
        {%- endif -%}
        {%- set query = text_of(message.content) -%}
        {%- if pre -%}{%- set query = pre ~ " " ~ query -%}{%- endif -%}
        {%- if post -%}{%- set query = query ~ " " ~ post -%}{%- endif -%}
        {%- if prompt.media_alone -%}
            {{ (prompt.roles[0] ~ prompt.media_token ~ prompt.separators[0]) * media }}
        {%- elif media and "<image>" not in query -%}
            {%- set query = (prompt.media_token ~ " ") * media ~ query -%}
        {%- endif -%}
        {{ prompt.roles[0] ~ query ~ prompt.separators[0] }}
    {%- elif message.role == "assistant" -%}
        {{ prompt.roles[1] }}
        {%- generation -%}{{ text_of(message.content) ~ prompt.separators[1] }}{%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ prompt.roles[1] ~ answer }}{%- endif -%}
"""


def chat_template(name: str) -> str:
    """The Jinja chat template of a row of `PROMPTS`.

    Raises:
        KeyError: no such row.
    """
    # A Jinja literal with the same escapes as JSON, except for its booleans.
    fields = json.dumps(PROMPTS[name]._asdict(), ensure_ascii=False)
    return f"{{%- set prompt = {fields} -%}}\n{BODY}"


def chat_templates(default: str = "plain") -> dict[str, str]:
    """Every named template, and `default` under that name too.

    Args:
        default: `"plain"` for the Vicuna models (7b, 13b), `"plain_llavanext"` for the Yi model (34b).
    """
    return {"default": chat_template(default), **{name: chat_template(name) for name in PROMPTS}}


__all__ = ["PROMPTS", "Prompt", "chat_template", "chat_templates"]
