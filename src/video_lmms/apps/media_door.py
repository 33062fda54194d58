# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The only way in for media of strangers: data in the request, public URLs, and files below named folders."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..processing.video_errors import VideoError, VideoLimitError, VideoLimits
from ..processing.video_fetch import is_url, scheme_of
from .chat_requests import ChatRequest, SourcePart
from .conversation import Conversation, Medium
from .request_errors import RequestError


# The type may carry parameters, and the data must be base64.
_DATA = re.compile(r"data:(?P<kind>[a-z]+)/[\w.+-]+(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class MediaDoor:
    """Opens what requests name.

    Args:
        roots: folders whose files may be named; without one, no file may.
        limits: sizes and times; URLs lead to the public internet only, unless `private_addresses`.
    """

    def __init__(self, roots: Sequence[Path] = (), limits: VideoLimits | None = None):
        self.roots = [Path(root).resolve(strict=True) for root in roots]
        self.limits = limits or VideoLimits()

    def conversation(self, request: ChatRequest) -> Conversation:
        """The conversation of a request, with all its media; the caller closes it.

        Raises:
            RequestError: a medium is refused, missing or too large.
        """
        conversation = Conversation(self.limits)
        try:
            for place, (role, parts) in enumerate(request.messages):
                opened = [
                    part if isinstance(part, str) else self.open(conversation, part, f"messages[{place}].content")
                    for part in parts
                ]
                conversation.messages.append((role, opened))
        except BaseException:
            conversation.close()
            raise
        return conversation

    def open(self, conversation: Conversation, part: SourcePart, param: str) -> Medium:
        """One medium.

        Raises:
            RequestError: naming `param`.
        """
        try:
            return conversation.medium(part.kind, *self.source(part), part.start, part.end, name=short(part.url))
        except VideoError as exc:
            raise media_error(exc, param) from exc
        except RequestError as exc:
            exc.param = param
            raise

    def source(self, part: SourcePart) -> tuple[str | bytes]:
        """Bytes of a data URL, an http(s) URL as it is, or the path of a file below a root."""
        if part.url[:5].lower() == "data:":
            return (self.decode(part),)
        if is_url(part.url):
            return (part.url,)
        return (str(self.path_of(part.url)),)

    def decode(self, part: SourcePart) -> bytes:
        """The bytes of a data URL."""
        head = _DATA.match(part.url[:256])
        if head is None or head["kind"].lower() not in (part.kind, "application"):
            raise RequestError(
                f"A data URL of this part starts with `data:{part.kind}/...;base64,`, got {part.url[:40]!r}.",
                code="invalid_media",
            )
        try:
            return base64.b64decode(part.url[head.end() :], validate=True)
        except (binascii.Error, ValueError) as exc:
            raise RequestError(f"A data URL is not valid base64 ({exc}).", code="invalid_media") from None

    def path_of(self, url: str) -> Path:
        """A file below a root, symbolic links followed; whether files elsewhere exist is not told."""
        if not self.roots:
            raise RequestError(
                "This server opens no files: pass an https URL or a data URL (or start it with --media-root).",
                code="invalid_media",
            )
        scheme = scheme_of(url)
        if scheme not in (None, "file") or (scheme is None and _SCHEME.match(url)):
            raise RequestError(
                f"A medium is a https, http or data URL, or a path; got {url[:40]!r}.", code="invalid_media"
            )
        name = url
        if scheme == "file":
            parts = urlsplit(url)
            if parts.netloc not in ("", "localhost"):
                raise RequestError("A file URL names no host: file:///path.", code="invalid_media")
            name = unquote(parts.path)
        for root in self.roots:
            try:
                path = (root / name).resolve()
                if path.is_relative_to(root) and path.is_file():
                    return path
            except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a loop of links
                continue
        raise RequestError("There is no such file below the server's media folders.", code="invalid_media")


def media_error(exc: VideoError, param: str | None = None) -> RequestError:
    """What a client is told of a medium that cannot be used."""
    status = 413 if isinstance(exc, VideoLimitError) else 400
    return RequestError(str(exc), status, param=param, code="invalid_media")


def short(url: str) -> str:
    """A URL for answers: what a data URL is, not what is in it."""
    return url.partition(",")[0] if url[:5].lower() == "data:" else url


__all__ = ["MediaDoor", "media_error"]
