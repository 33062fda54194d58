# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Video-LLaMA's prompts as named chat templates.

Strings restate https://github.com/DAMO-NLP-SG/Video-LLaMA (BSD-3-Clause) to the letter, double spaces and the long
runs of spaces around sound included: the released weights and demos know no other form. A template is a row of the
table below in front of one Jinja body.

Chat to prompt: a system message, even an empty one, replaces the template's own. Every medium is the same marker,
`<ImageHere>`; the tags around it tell what it stands for. A sound right before a video is the demo's form of a video
with sound; a sound alone, which the original does not know, gets the first half of that form. Video parts may carry
the sentence on their frames as `timestamps`, which the processor writes. With Vicuna each medium but the last of a
turn is a turn of its own, as uploads were in the demo.
"""

import json
from typing import NamedTuple


MARKER = "<ImageHere>"

DEMO_SYSTEM = (
    "You are able to understand the visual content that the user provides. Follow the instructions carefully and "
    "explain your answers in detail."
)
LLAMA_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
MINIGPT4_SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
    "Please answer my questions."
)
FIRST_RELEASE_SYSTEM = (
    "Give the following image/video: <Vision>VisionContent</Vision>. You will be able to see the image/video once I "
    "provide it to you. Please answer my questions."
)


class Prompt(NamedTuple):
    """One conversation form.

    Attributes:
        instruct: whether turns are Llama 2's `[INST]`, or roles behind `###`.
        text_system: system text of a chat without media.
        media_system: of a chat with images or videos. One with sound has none.
        image_tag: tag around an image's marker.
        video_tag: around a video's.
        timestamps: whether video parts tell when their frames were taken.
    """

    instruct: bool
    text_system: str
    media_system: str
    image_tag: str = "Image"
    video_tag: str = "Video"
    timestamps: bool = True


PROMPTS: dict[str, Prompt] = {
    "vicuna": Prompt(False, "", DEMO_SYSTEM),
    "llama_v2": Prompt(True, LLAMA_SYSTEM, DEMO_SYSTEM),
    "minigpt4": Prompt(False, MINIGPT4_SYSTEM, MINIGPT4_SYSTEM),
    # The weights of May 2023 were trained with these tags.
    "first_release": Prompt(False, FIRST_RELEASE_SYSTEM, FIRST_RELEASE_SYSTEM, "Vision", "Vision", timestamps=False),
}

# The runs of spaces come from continued lines in the original's source.
HEAR = "Close your eyes, open your ears and you imagine only based on the sound that: <ImageHere>."
SEE = " " * 17 + "Close your ears, open your eyes and you see that "
SEEN_AND_HEARD = "." + " " * 18 + "Now answer my question based on what you have just seen and heard."
HEARD = " " * 18 + "Now answer my question based on what you have just heard."

BODY = """\
{%- macro text_of(content) -%}
    {%- if content is string -%}
        {{ content }}
    {%- else -%}
        {%- for part in content if part.type == "text" -%}{{ part.text }}{%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- macro tagged(tag) -%}{{ "<" ~ tag ~ ">" ~ sounds.marker ~ "</" ~ tag ~ ">" }}{%- endmacro -%}
{%- macro turn(words) -%}
    {%- if not prompt.instruct -%}
        {{ "Human: " ~ words ~ "###" }}
    {%- elif ns.first -%}
        {{ "[INST] <<SYS>>\\n" ~ ns.system ~ "\\n<</SYS>>\\n\\n" ~ words ~ " [/INST]" }}
    {%- else -%}
        {{ "<s>[INST] " ~ words ~ " [/INST]" }}
    {%- endif -%}
{%- endmacro -%}
{%- set kinds = namespace(seen=false, heard=false) -%}
{%- for message in messages if message.content is not string -%}
    {%- for part in message.content -%}
        {%- if part.type in ["image", "video"] -%}{%- set kinds.seen = true -%}{%- endif -%}
        {%- if part.type == "audio" -%}{%- set kinds.heard = true -%}{%- endif -%}
    {%- endfor -%}
{%- endfor -%}
{%- set ns = namespace(system=prompt.text_system, first=true, pending="", sound=false) -%}
{%- if kinds.heard -%}
    {%- set ns.system = "" -%}
{%- elif kinds.seen -%}
    {%- set ns.system = prompt.media_system -%}
{%- endif -%}
{%- for message in messages if message.role == "system" -%}
    {%- set ns.system = text_of(message.content) -%}
{%- endfor -%}
{%- if not prompt.instruct -%}{{ ns.system ~ "###" }}{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == "user" -%}
        {%- set parts = [] if message.content is string else message.content -%}
        {%- for part in parts if part.type != "text" -%}
            {%- set before = loop.previtem.type if loop.previtem is defined else "" -%}
            {%- set after = loop.nextitem.type if loop.nextitem is defined else "" -%}
            {%- if part.type == "audio" -%}
                {%- set unit = sounds.hear ~ ("" if after == "video" else sounds.heard) -%}
            {%- elif part.type == "image" -%}
                {%- set unit = tagged(prompt.image_tag) ~ " " -%}
            {%- elif before == "audio" -%}
                {%- set unit = sounds.see ~ tagged(prompt.video_tag) ~ sounds.seen_and_heard -%}
            {%- else -%}
                {%- set times = part.timestamps if prompt.timestamps and part.timestamps is defined else "" -%}
                {%- set unit = tagged(prompt.video_tag) ~ " " ~ times -%}
            {%- endif -%}
            {%- if part.type == "video" and before == "audio" -%}
                {%- set ns.pending = ns.pending ~ unit -%}
            {%- else -%}
                {%- if ns.pending and prompt.instruct -%}
                    {%- set ns.pending = ns.pending ~ " " -%}
                {%- elif ns.pending -%}
                    {{ turn(ns.pending) }}
                    {%- set ns.pending = "" -%}
                {%- endif -%}
                {%- set ns.pending = ns.pending ~ unit -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set words = text_of(message.content) -%}
        {%- if words -%}
            {{ turn(ns.pending ~ " " ~ words if ns.pending else words) }}
            {%- set ns.first = false -%}
            {%- set ns.pending = "" -%}
        {%- endif -%}
    {%- elif message.role == "assistant" -%}
        {%- if ns.pending -%}
            {{ turn(ns.pending) }}
            {%- set ns.first = false -%}
            {%- set ns.pending = "" -%}
        {%- endif -%}
        {%- if not prompt.instruct -%}{{ "Assistant:" }}{%- endif -%}
        {%- generation -%}
            {{ " " ~ text_of(message.content) ~ (" </s>" if prompt.instruct else "###") }}
        {%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
{%- if ns.pending -%}{{ turn(ns.pending) }}{%- endif -%}
{%- if add_generation_prompt and not prompt.instruct -%}{{ "Assistant:" }}{%- endif -%}
"""


def chat_template(name: str) -> str:
    """The Jinja chat template of a row of `PROMPTS`.

    Raises:
        KeyError: no such row.
    """
    sounds = {"marker": MARKER, "hear": HEAR, "heard": HEARD, "see": SEE, "seen_and_heard": SEEN_AND_HEARD}
    # Jinja literals have the same escapes as JSON and the same words for its booleans.
    literals = (json.dumps(fields, ensure_ascii=False) for fields in (PROMPTS[name]._asdict(), sounds))
    return "{{%- set prompt = {} -%}}\n{{%- set sounds = {} -%}}\n{}".format(*literals, BODY)


def chat_templates(default: str) -> dict[str, str]:
    """All templates by name, `default` again under that word, which transformers looks for."""
    return {"default": chat_template(default)} | {name: chat_template(name) for name in PROMPTS}


__all__ = ["MARKER", "PROMPTS", "chat_template", "chat_templates"]
