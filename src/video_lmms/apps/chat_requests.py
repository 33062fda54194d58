# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a body of `POST /v1/chat/completions` asks for. Everything in it is checked here, before anything is opened."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .planning import ReadingOptions
from .request_errors import RequestError
from .streaming import AnswerOptions


ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Parts of a message, and where each names its medium.
MEDIA_PARTS = {"image_url": "image", "video_url": "video", "audio_url": "audio"}
# Fields with a meaning here, beside `messages`, `model` and those of the three tables below.
_OTHERS = ("stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "return_frames")
# Number fields: name -> (integer, smallest, largest).
_NUMBERS: dict[str, tuple[bool, float, float]] = {
    "temperature": (False, 0, 2),
    "top_p": (False, 0, 1),
    "top_k": (True, 1, 1 << 20),
    "frequency_penalty": (False, -2, 2),
    "presence_penalty": (False, -2, 2),
    "repetition_penalty": (False, 0.1, 10),
    "seed": (True, -(1 << 63), (1 << 63) - 1),
    "num_frames": (True, 1, 1 << 16),
    "fps": (False, 1e-3, 240),
    "context_length": (True, 1, 1 << 24),
}
_SAMPLING = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed")
_READING = ("num_frames", "fps", "context_length")
# Where other servers expect the options of reading.
_NESTED = ("chat_template_kwargs", "mm_processor_kwargs")
# Fields of OpenAI's that change nothing here.
_IGNORED = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "reasoning_effort"}
# Fields that are accepted only where they ask for what happens anyway.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "best_of": (1,),
}


@dataclass(frozen=True)
class SourcePart:
    """A medium of a message, not opened yet.

    Attributes:
        kind: "image", "video" or "audio".
        url: as the client wrote it.
        start: seconds; frames of a video before are not looked at.
        end: seconds; frames after are not looked at.
    """

    kind: str
    url: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class ChatRequest:
    """A body that was found to be in order.

    Attributes:
        model: name, or None where the client leaves it open.
        messages: role and parts of each, media not opened yet.
        answer: how to generate; its length is `max_tokens`.
        max_tokens: of the answer, None where the client leaves it open.
        reading: how to look at videos.
        stream: whether the answer is sent while it is made.
        include_usage: whether a stream ends with the numbers of tokens.
        return_frames: whether to tell which frames were looked at.
    """

    model: str | None
    messages: list[tuple[str, list[str | SourcePart]]]
    answer: AnswerOptions
    max_tokens: int | None
    reading: ReadingOptions
    stream: bool
    include_usage: bool
    return_frames: bool

    @property
    def num_media(self) -> int:
        """Media in all messages."""
        return sum(isinstance(part, SourcePart) for _, parts in self.messages for part in parts)

    @property
    def num_characters(self) -> int:
        """Length of all text."""
        return sum(len(part) for _, parts in self.messages for part in parts if isinstance(part, str))


def parse_body(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        RequestError: it is none.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    try:
        body = json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as exc:
        reason = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise RequestError(f"The body is not valid JSON ({reason}).", code="invalid_json") from None
    if not isinstance(body, dict):
        raise RequestError(f"The body must be a JSON object, got {type(body).__name__}.", code="invalid_json")
    return body


def parse_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Checks the body of a request.

    Raises:
        RequestError: naming the field.
    """
    body = flattened(body)
    check_names(body)
    numbers = {name: number(body, name, *_NUMBERS[name]) for name in _NUMBERS if body.get(name) is not None}
    sampling = {name: numbers[name] for name in _SAMPLING if name in numbers}
    reading = {name: numbers[name] for name in _READING if name in numbers}
    return ChatRequest(
        model=text(body, "model"),
        messages=parse_messages(body.get("messages")),
        answer=AnswerOptions(stop=stops(body), **sampling),
        max_tokens=max_tokens(body),
        reading=ReadingOptions(template=text(body, "template"), audio=flag(body, "use_audio_in_video"), **reading),
        stream=flag(body, "stream"),
        include_usage=flag(stream_options(body), "include_usage"),
        return_frames=flag(body, "return_frames"),
    )


def flattened(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the options of reading at its top, wherever the client put them."""
    flat = {name: value for name, value in body.items() if name not in _NESTED}
    for place in _NESTED:
        nested = body.get(place) or {}
        allowed = (*_READING, "template", "use_audio_in_video")
        if not isinstance(nested, dict) or not set(nested) <= set(allowed):
            raise RequestError(
                f"`{place}` must be an object with some of {', '.join(allowed)}.", param=place, code="invalid_value"
            )
        flat |= nested
    return flat


def check_names(body: Mapping[str, Any]) -> None:
    """Refuses fields that are unknown, and those that ask for what is not done here."""
    known = {"model", "messages", "template", "use_audio_in_video", *_OTHERS, *_NUMBERS, *_IGNORED, *_NEUTRAL}
    for name, value in body.items():
        if name not in known:
            raise RequestError(f"The field `{name}` is unknown here.", param=name, code="unknown_parameter")
        if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
            accepted = " or ".join(json.dumps(choice) for choice in _NEUTRAL[name])
            raise RequestError(
                f"`{name}` is not supported: leave it out, or pass {accepted}.",
                param=name,
                code="unsupported_parameter",
            )


def parse_messages(messages: Any) -> list[tuple[str, list[str | SourcePart]]]:
    """Roles and parts; the last message is the user's."""
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "a list with at least one message", messages)
    parsed = [parse_message(message, f"messages[{place}]") for place, message in enumerate(messages)]
    if parsed[-1][0] != "user":
        raise RequestError("The last message must be the user's.", param="messages", code="invalid_value")
    return parsed


def parse_message(message: Any, place: str) -> tuple[str, list[str | SourcePart]]:
    """Role and parts of one message."""
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        found = message.get("role") if isinstance(message, dict) else message
        raise invalid(f"{place}.role", f"one of {', '.join(ROLES)}", found)
    content = message.get("content")
    if isinstance(content, str):
        return ROLES[message["role"]], [content]
    if not isinstance(content, list) or not content:
        raise invalid(f"{place}.content", "text or a list of parts", content)
    parts = [parse_part(part, f"{place}.content[{number}]") for number, part in enumerate(content)]
    return ROLES[message["role"]], parts


def parse_part(part: Any, place: str) -> str | SourcePart:
    """Text, or a medium that is not opened yet."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return part["text"]
    if kind in MEDIA_PARTS:
        source = part.get(kind)
        source = {"url": source} if isinstance(source, str) else source
        if not isinstance(source, dict) or not isinstance(source.get("url"), str) or not source["url"]:
            raise invalid(f"{place}.{kind}", 'an object such as {"url": "https://..."}', source)
        times = {
            name: number(source, name, False, 0, 1e9) for name in ("start", "end") if source.get(name) is not None
        }
        return SourcePart(MEDIA_PARTS[kind], source["url"], **times)
    if kind == "input_audio":
        sound = part.get(kind)
        if not isinstance(sound, dict) or not all(isinstance(sound.get(name), str) for name in ("data", "format")):
            raise invalid(f"{place}.{kind}", 'an object {"data": BASE64, "format": "wav"}', sound)
        return SourcePart("audio", f"data:audio/{sound['format']};base64,{sound['data']}")
    raise invalid(f"{place}.type", f"one of text, input_audio, {', '.join(MEDIA_PARTS)}, with its content", kind)


def max_tokens(body: Mapping[str, Any]) -> int | None:
    """Length of the longest answer, under its new name or its old one."""
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None:
            return number(body, name, True, 1, 1 << 24)
    return None


def stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Strings that end the answer."""
    given = body.get("stop")
    given = [given] if isinstance(given, str) else given or []
    if not isinstance(given, list) or len(given) > 4 or not all(isinstance(stop, str) and stop for stop in given):
        raise invalid("stop", "a string or up to four, none of them empty", given)
    if any(len(stop) > 256 for stop in given):
        raise RequestError("A stop string has at most 256 characters.", param="stop", code="invalid_value")
    return tuple(given)


def stream_options(body: Mapping[str, Any]) -> dict[str, Any]:
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise invalid("stream_options", "an object", options)
    return options


def number(body: Mapping[str, Any], name: str, whole: bool, least: float, most: float) -> Any:
    """A number between two others; a whole one where asked for."""
    value = body[name]
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise invalid(name, "a whole number" if whole else "a number", value)
    if not least <= value <= most:
        raise invalid(name, f"between {least:g} and {most:g}", value)
    return value


def flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(name, "true or false", value)
    return bool(value)


def text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(name, "text", value)
    return value


def invalid(param: str, wanted: str, found: Any) -> RequestError:
    """The error for a field of another form."""
    shown = repr(found)
    shown = shown if len(shown) < 80 else shown[:77] + "..."
    return RequestError(f"`{param}` must be {wanted}, got {shown}.", param=param, code="invalid_value")


__all__ = ["ChatRequest", "SourcePart", "parse_body", "parse_chat"]
