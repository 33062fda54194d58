# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Published annotation formats, each as one function from an item of its file to a chat row.

A row is `{"messages": [...]}` as [`VideoChatCollator`] takes it. Which format a file has is told by the keys of its
items, so a mixture of files needs no configuration; `data.rows.read_rows` does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from video_lmms.data.collator import ChatRowError


MEDIA_KINDS = ("video", "image", "audio")
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
# What says in the text where the media go; our messages say it by the order of their parts.
_PLACEHOLDER = re.compile(r"\s*<(video|image|audio)>\s*", re.IGNORECASE)
# Paths that the LongVU and LLaVA code bases treat as "this row has no media".
_NO_MEDIA = ("", "none", "nan")

Row = dict[str, Any]


class Format(NamedTuple):
    """One published format.

    Attributes:
        name: for messages and options.
        keys: an item that has all of these is of this format.
        convert: (item, media root) -> row.
    """

    name: str
    keys: tuple[str, ...]
    convert: Callable[[Mapping[str, Any], Path], Row]


def from_chat(item: Mapping[str, Any], root: Path) -> Row:
    """Our own format: `messages`, or `prompt` and `completion`, with media paths relative to the root."""
    row = dict(item)
    for key in ("messages", "prompt", "completion"):
        if key in row:
            row[key] = [_rooted(message, root) for message in row[key]]
    for key in ("videos", "video"):
        if row.get(key) is not None:
            row[key] = [_place(path, root) for path in _listed(row[key])]
    return row


def from_llava(item: Mapping[str, Any], root: Path) -> Row:
    """LLaVA, LongVU, Apollo's relatives, VideoTGB: `conversations` of `from` / `value` beside `video` or `image`."""
    turns = item["conversations"]
    media = list(_media(item, root))
    messages = []
    for number, turn in enumerate(turns):
        try:
            role, text = ROLES[turn["from"]], turn["value"]
        except KeyError as error:
            raise ChatRowError(
                f"turn {number} has {error} where `from` (one of {', '.join(ROLES)}) and `value` are needed"
            ) from error
        messages.append(_message(role, _PLACEHOLDER.sub("", text).strip(), media if role == "user" else []))
        if role == "user":
            media = []
    return {"messages": messages}


def from_question_pairs(item: Mapping[str, Any], root: Path) -> Row:
    """VideoChat2-IT, VideoChat and PLLaVA: `QA` of `q`, `a` and an optional instruction `i`; optional `start`, `end`.

    The instruction opens the first question. A pair without a question, as captions have it, asks by its instruction
    alone, or shows the clip without a word.
    """
    messages, media = [], list(_media(item, root))
    for pair in item["QA"]:
        words = [pair.get("i", "") if not messages else "", pair.get("q", "")]
        messages.append(_message("user", " ".join(filter(None, words)), media))
        messages.append(_message("assistant", pair["a"], []))
        media = []
    return {"messages": messages}


def from_question(item: Mapping[str, Any], root: Path) -> Row:
    """One question about one clip under `question` / `answer` (MSVD-QA and its like) or `q` / `a` (Video-ChatGPT)."""
    question = item.get("question", item.get("q"))
    answer = item.get("answer", item.get("a"))
    media = list(_media(item, root)) or [_part("video", item.get("video_id", item.get("video_name")), root, item)]
    return {"messages": [_message("user", question, media), _message("assistant", str(answer), [])]}


def from_webvid(item: Mapping[str, Any], root: Path) -> Row:
    """A line of WebVid's tables: the clip `page_dir/videoid.mp4` and its caption `name`."""
    clip = _part("video", f"{item['page_dir']}/{item['videoid']}.mp4", root, {})
    return {"messages": [_message("user", "", [clip]), _message("assistant", item["name"], [])]}


def from_image_caption(item: Mapping[str, Any], root: Path) -> Row:
    """An entry of CC3M's and MiniGPT-4's `filter_cap.json`: the picture `image/ID.jpg` and its `caption`."""
    picture = _part("image", f"image/{item['image_id']}.jpg", root, {})
    return {"messages": [_message("user", "", [picture]), _message("assistant", item["caption"], [])]}


# In the order of trial: a more telling set of keys comes first.
FORMATS = (
    Format("chat", ("messages",), from_chat),
    Format("chat", ("prompt", "completion"), from_chat),
    Format("llava", ("conversations",), from_llava),
    Format("videochat", ("QA",), from_question_pairs),
    Format("question", ("question", "answer"), from_question),
    Format("videochatgpt", ("q", "a"), from_question),
    Format("webvid", ("videoid", "page_dir", "name"), from_webvid),
    Format("captions", ("image_id", "caption"), from_image_caption),
)


def format_of(item: Mapping[str, Any]) -> Format:
    """The format of an item.

    Raises:
        ChatRowError: none fits.
    """
    for candidate in FORMATS:
        if all(item.get(key) is not None for key in candidate.keys):
            return candidate
    known = "; ".join(f"{known.name}: {', '.join(known.keys)}" for known in FORMATS)
    raise ChatRowError(f"an item with the keys {', '.join(sorted(item)) or '(none)'} is of no known format ({known})")


def items_of(content: Any) -> Iterable[Mapping[str, Any]]:
    """The items of a JSON file: a list, a table keyed by number, or a list under `annotations` or `data`.

    Raises:
        ChatRowError: it is none of these.
    """
    if isinstance(content, Mapping):
        for key in ("annotations", "data"):
            if isinstance(content.get(key), list):
                return content[key]
        values = list(content.values())
        if values and all(isinstance(value, Mapping) for value in values):
            return values
    elif isinstance(content, list):
        return content
    raise ChatRowError("a JSON file must hold a list of items, a table of items, or a list under `annotations`")


def _media(item: Mapping[str, Any], root: Path) -> Iterable[dict[str, Any]]:
    for kind in MEDIA_KINDS:
        for path in _listed(item.get(kind)):
            if str(path).lower() not in _NO_MEDIA:
                yield _part(kind, path, root, item)


def _part(kind: str, path: Any, root: Path, item: Mapping[str, Any]) -> dict[str, Any]:
    if path is None:
        raise ChatRowError(
            f"no {kind} is named; one of {', '.join((*MEDIA_KINDS, 'video_id', 'video_name'))} is needed"
        )
    span = {key: float(item[key]) for key in ("start", "end") if item.get(key) is not None}
    return {"type": kind, kind: _place(path, root), **span}


def _message(role: str, text: str, media: list[dict[str, Any]]) -> dict[str, Any]:
    words = [{"type": "text", "text": text}] if text else []
    return {"role": role, "content": [*media, *words]}


def _rooted(message: Mapping[str, Any], root: Path) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, (list, tuple)):
        return dict(message)
    parts = [
        {key: _place(value, root) if key in (*MEDIA_KINDS, "path") else value for key, value in part.items()}
        for part in content
    ]
    return {**message, "content": parts}


def _place(path: Any, root: Path) -> Any:
    """A path below the root; what is no relative path (an address, bytes, a table of both) stays as it is."""
    if isinstance(path, str) and "://" not in path:
        return str(root / path)
    return path


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


__all__ = ["FORMATS", "Format", "format_of", "items_of"]
