# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Conversations with media, known by their content: the same clip under another name is the same clip."""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from ..processing.video_errors import VideoLimits, VideoSourceError, check_bytes, short_name
from ..processing.video_fetch import download, download_object, is_url, scheme_of
from ..processing.video_images import image_files, read_image
from ..processing.video_inputs import VideoPayload


KINDS = ("image", "video", "audio")
# Where a part of a chat may name its medium.
SOURCES = ("path", "url", "video", "image", "audio")


class KnownVideo(VideoPayload):
    """A video that travels through the processors together with the digest of its content."""

    digest: str

    @classmethod
    def of(cls, medium: Medium) -> KnownVideo:
        video = cls(medium.payload, medium.start, medium.end)
        video.digest = medium.digest
        return video


@dataclass(frozen=True)
class Medium:
    """One image, video or sound.

    Attributes:
        kind: "image", "video" or "audio".
        name: what the user called it.
        payload: path of a file or folder, or the bytes of a file.
        digest: of the content.
        start: seconds; frames of a video before are not looked at.
        end: seconds; frames after are not looked at.
    """

    kind: str
    name: str
    payload: str | bytes
    digest: str
    start: float | None = None
    end: float | None = None

    def picture(self, limits: VideoLimits) -> Image.Image:
        """The pixels of an image.

        Raises:
            VideoError: it is no image, damaged or too large.
        """
        source = BytesIO(self.payload) if isinstance(self.payload, bytes) else self.payload
        return Image.fromarray(read_image(source, limits))


@dataclass
class Conversation:
    """Messages of a system, a user and an assistant; a part of a message is text or a [`Medium`].

    URLs are downloaded, at most once each, when a message is added; `close` removes what was downloaded.

    Args:
        limits: what may be opened; by default no address off the public internet.
    """

    limits: VideoLimits = field(default_factory=VideoLimits)
    messages: list[tuple[str, list[str | Medium]]] = field(default_factory=list)

    def __post_init__(self):
        self._files: dict[str, str] = {}
        self._remove = weakref.finalize(self, _remove, self._files)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes downloaded files; calling it twice is harmless."""
        self._remove()

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]], limits: VideoLimits | None = None) -> Conversation:
        """A conversation from messages in the form that chat templates take.

        Args:
            messages: `{"role": ..., "content": ...}`; content is text or a list of parts `{"type": "text", "text":
                ...}` and `{"type": "video" | "image" | "audio", "path" | "url": ...}`, a video's with `start` and
                `end` in seconds where it has them. Bytes are accepted in the place of a path.
            limits: see [`Conversation`].

        Raises:
            VideoError: a medium is missing, refused or too large.
            ValueError: a message of another form.
        """
        conversation = cls(limits or VideoLimits())
        try:
            for message in messages:
                conversation.add(message["role"], message["content"])
        except BaseException:
            conversation.close()
            raise
        return conversation

    def add(self, role: str, content: str | Sequence[Mapping[str, Any]]) -> None:
        """Adds a message; arguments and errors as those of [`of`]."""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        self.messages.append((role, [self._read(part) for part in parts]))

    def ask(
        self,
        question: str,
        *,
        videos: Sequence[str | os.PathLike | bytes] = (),
        images: Sequence[str | os.PathLike | bytes] = (),
    ) -> None:
        """Adds what the user says, after the media that come with it.

        Args:
            question: text.
            videos: paths, URLs or contents of files.
            images: likewise.

        Raises:
            VideoError: a medium is missing, refused or too large.
        """
        parts = [{"type": "video", "path": video} for video in videos]
        parts += [{"type": "image", "path": image} for image in images]
        self.add("user", [*parts, {"type": "text", "text": question}])

    def answer(self, text: str) -> None:
        """Adds what the assistant said."""
        self.add("assistant", text)

    @property
    def media(self) -> list[Medium]:
        """All media, in the order of the conversation."""
        return [part for _, parts in self.messages for part in parts if isinstance(part, Medium)]

    @property
    def question(self) -> str:
        """What was said last."""
        parts = self.messages[-1][1] if self.messages else []
        return " ".join(part for part in parts if isinstance(part, str))

    def _read(self, part: Mapping[str, Any]) -> str | Medium:
        kind = part.get("type")
        if kind == "text" and isinstance(part.get("text"), str):
            return part["text"]
        source = next((part[name] for name in SOURCES if part.get(name) is not None), None)
        if kind not in KINDS or source is None:
            raise ValueError(
                "A part of a message is {'type': 'text', 'text': ...} or {'type': 'video' | 'image' | 'audio', "
                f"'path' | 'url': ...}}, got type {kind!r} with {', '.join(map(str, part)) or 'nothing'}."
            )
        return self.medium(kind, source, start=part.get("start"), end=part.get("end"))

    def medium(
        self,
        kind: str,
        source: str | os.PathLike | bytes,
        start: float | None = None,
        end: float | None = None,
        name: str | None = None,
    ) -> Medium:
        """A medium of this conversation; arguments as the attributes of [`Medium`].

        Raises:
            VideoError: it is missing, refused or too large.
        """
        if isinstance(source, (bytes, bytearray)):
            name = name or f"<{len(source):,} bytes>"
            check_bytes(name, len(source), self.limits)
            return Medium(kind, name, bytes(source), hashlib.sha256(source).hexdigest(), start, end)
        source = os.fspath(source)
        path = self._downloaded(source) if scheme_of(source) else source
        return Medium(kind, name or source, path, content_digest(path, self.limits), start, end)

    def _downloaded(self, url: str) -> str:
        if url not in self._files:
            handle, path = tempfile.mkstemp(prefix="video-lmms-")
            self._files[url] = path
            try:
                with open(handle, "wb") as file:
                    (download if is_url(url) else download_object)(url, file, self.limits)
            except BaseException:
                os.unlink(self._files.pop(url))
                raise
        return self._files[url]


def content_digest(path: str, limits: VideoLimits) -> str:
    """SHA-256 of a file, or of all image files of a folder; a file that has not changed is read once.

    Raises:
        VideoError: there is no such file, it is too large, or a folder holds no images.
    """
    if os.path.isdir(path):
        parts = [content_digest(name, limits) for name in image_files(path, limits)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    try:
        state = os.stat(path)
        check_bytes(short_name(path), state.st_size, limits)
        return _file_digest(path, state.st_size, state.st_mtime_ns, state.st_ino)
    except (OSError, ValueError) as exc:
        if not isinstance(exc, OSError) and not str(exc).startswith("embedded null"):
            raise
        raise VideoSourceError(f"{short_name(path)}: no such file, or it cannot be read. Check the path.") from exc


@lru_cache(maxsize=1024)
def _file_digest(path: str, size: int, changed: int, inode: int) -> str:
    with Path(path).open("rb") as file:
        digest = hashlib.sha256()
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: Any, size: int = 1 << 20) -> Iterator[bytes]:
    while chunk := file.read(size):
        yield chunk


def _remove(files: dict[str, str]) -> None:
    for path in files.values():
        Path(path).unlink(missing_ok=True)
    files.clear()


__all__ = ["Conversation", "KnownVideo", "Medium", "content_digest"]
