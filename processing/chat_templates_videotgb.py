# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB's prompts as named chat templates.

Strings restate https://github.com/bigai-nlco/VideoTGB to the letter. Its visual tokens precede the whole text, the
beginning-of-sequence token included, so a prompt opens with the placeholders of all its media; `<video>` and `<image>`
inside the text are ordinary characters.
"""

import json
from typing import NamedTuple


VIDEO_TOKEN, IMAGE_TOKEN = "<|video|>", "<|image|>"


class Prompt(NamedTuple):
    """One conversation form.

    Attributes:
        opening: text before the first turn.
        media: which user turns begin with `<video>` or `<image>` and a line feed: those with a medium ("own"), all
            once there is a medium ("every"), or none.
        user: what closes a user turn.
        assistant: what opens an answer to be written.
        answered: what opens an answer that is there.
        closing: what closes it, before the text of the end-of-sequence token.
        final: the same for the last message: the answer that training asks for.
    """

    opening: str = ""
    media: str = "own"
    user: str = " "
    assistant: str = "ASSISTANT: "
    answered: str = "ASSISTANT: "
    closing: str = " "
    final: str = ""


PROMPTS: dict[str, Prompt] = {
    # Behind the published numbers.
    "eval": Prompt(),
    # Instruction data of images and videos: one more space before the answer.
    "training": Prompt(user="  "),
    # Video-ChatGPT data of the one-step recipe: none.
    "videoinstruct": Prompt(media="none", user="", final=" "),
    # The demo opens with a space and leaves none at the end.
    "demo": Prompt(opening=" ", media="every", assistant="ASSISTANT:", closing=""),
    "v1": Prompt(
        opening=(
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
            "detailed, and polite answers to the user's questions. "
        ),
        assistant="ASSISTANT:",
        closing="",
    ),
}

BODY = """\
{%- macro text_of(content) -%}
    {%- if content is string -%}
        {{ content }}
    {%- else -%}
        {%- for part in content if part.type == "text" -%}{{ part.text }}{%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- macro media_of(content) -%}
    {%- set own = content | selectattr("type", "in", ["image", "video"]) | list if content is not string else [] -%}
    {%- if prompt.media != "none" -%}
        {%- for part in own -%}{{ "<" ~ part.type ~ ">\\n" }}{%- endfor -%}
        {%- if prompt.media == "every" and seen.media and not own -%}{{ "<video>\\n" }}{%- endif -%}
    {%- endif -%}
{%- endmacro -%}
{%- set seen = namespace(media=false) -%}
{%- for message in messages if message.content is not string -%}
    {%- for part in message.content if part.type in ["image", "video"] -%}
        {%- set seen.media = true -%}
        {{ "<|" ~ part.type ~ "|>" }}
    {%- endfor -%}
{%- endfor -%}
{{- bos_token | default("") ~ prompt.opening -}}
{%- for message in messages -%}
    {%- if message.role == "system" -%}
        {{ text_of(message.content) ~ " " }}
    {%- elif message.role == "user" -%}
        {{ "USER: " ~ media_of(message.content) ~ text_of(message.content) ~ prompt.user }}
    {%- else -%}
        {{ prompt.answered }}
        {%- generation -%}
            {{ text_of(message.content) ~ (prompt.final if loop.last else prompt.closing) ~ "</s>" }}
        {%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ prompt.assistant }}{%- endif -%}
"""


def chat_template(name: str) -> str:
    """The Jinja chat template of a row of `PROMPTS`.

    Raises:
        KeyError: no such row.
    """
    # A Jinja literal with the same escapes as JSON.
    fields = json.dumps(PROMPTS[name]._asdict(), ensure_ascii=False)
    return f"{{%- set prompt = {fields} -%}}\n{BODY}"


def chat_templates() -> dict[str, str]:
    """Every named template, and that of the evaluation as the default."""
    return {"default": chat_template("eval"), **{name: chat_template(name) for name in PROMPTS}}


__all__ = ["IMAGE_TOKEN", "PROMPTS", "VIDEO_TOKEN", "Prompt", "chat_template", "chat_templates"]
