# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU's prompts as chat templates: ChatML for Qwen2, Llama 3's headers for Llama 3.2.

Strings restate https://github.com/Vision-CAIR/LongVU (Apache-2.0). A medium is `<image>` and a line break; a single
one stands in front of its turn's text, wherever the chat has it, and several stand where they are. No date and no
timestamps are added.
"""

MACROS = """\
{%- macro render(content) -%}
    {%- if content is string -%}
        {{ content }}
    {%- else -%}
        {%- set media = content | selectattr("type", "in", ["image", "video"]) | list | length -%}
        {%- if media == 1 -%}{{ "<image>\\n" }}{%- endif -%}
        {%- for part in content -%}
            {%- if part.type == "text" -%}
                {{ part.text }}
            {%- elif media > 1 -%}
                {{ "<image>\\n" }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- set default_system = "You are a helpful assistant." -%}
{%- if messages and messages[0].role == "system" -%}
    {%- set system = render(messages[0].content) -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set system = default_system -%}
    {%- set turns = messages -%}
{%- endif -%}
"""

QWEN = (
    MACROS
    + """\
{{- "<|im_start|>system\\n" ~ system ~ "<|im_end|>\\n" -}}
{%- for message in turns -%}
    {{- "<|im_start|>" ~ message.role ~ "\\n" -}}
    {%- if message.role == "assistant" -%}
        {%- generation -%}{{- render(message.content) ~ "<|im_end|>\\n" -}}{%- endgeneration -%}
    {%- else -%}
        {{- render(message.content) ~ "<|im_end|>\\n" -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
"""
)

LLAMA3 = (
    MACROS
    + """\
{{- "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\\n\\n" ~ system | trim ~ "<|eot_id|>" -}}
{%- for message in turns -%}
    {{- "<|start_header_id|>" ~ message.role ~ "<|end_header_id|>\\n\\n" -}}
    {%- if message.role == "assistant" -%}
        {%- generation -%}{{- render(message.content) | trim ~ "<|eot_id|>" -}}{%- endgeneration -%}
    {%- else -%}
        {{- render(message.content) | trim ~ "<|eot_id|>" -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|start_header_id|>assistant<|end_header_id|>\\n\\n" -}}{%- endif -%}
"""
)

TEMPLATES = {"qwen": QWEN, "llama3": LLAMA3}


__all__ = ["LLAMA3", "QWEN", "TEMPLATES"]
