# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Videos behind URLs, brought to a temporary file before anything is decoded.

FFmpeg never sees a URL: it would follow redirects, proxies and playlists to wherever they lead. https and http are
spoken here, to the addresses that `video_addresses` judged; object stores (s3://, gs://, ...) through fsspec.
"""

from __future__ import annotations

import re
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Timer
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from .video_addresses import Destination, resolve
from .video_errors import VideoError, VideoLimitError, VideoLimits, VideoSourceError, reason, short_name


try:
    import fsspec
except ImportError:  # an extra
    fsspec = None

CHUNK_BYTES = 1 << 20
# Stores that are named by a bucket, and whose machines the user's own configuration chooses. Other protocols of
# fsspec name a machine (sftp, smb, webhdfs), a local file, or another URL.
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "oci", "oss", "memory")

_WEB = ("http", "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {"User-Agent": "video-lmms", "Accept": "*/*", "Accept-Encoding": "identity"}


def scheme_of(source: Any) -> str | None:
    """The scheme of a URL in lower case; None for everything that is no string with `://` after its first word."""
    found = _SCHEME.match(source) if isinstance(source, str) else None
    return found[1].lower() if found else None


def is_url(source: Any) -> bool:
    """Whether `source` is an http(s) URL."""
    return scheme_of(source) in _WEB


def download(url: str, file: BinaryIO, limits: VideoLimits | None = None) -> None:
    """Streams an http(s) URL into `file`, counting the bytes that arrive and not those a header promises.

    Args:
        url: the URL; up to `limits.redirects` redirects are followed, each resolved and judged like the first.
        file: where the bytes go.
        limits: sizes, times, and whether addresses off the public internet are fine.

    Raises:
        VideoSourceError: a URL that may not be opened, no connection, an answer that is not 2xx, or one that breaks
            off.
        VideoLimitError: more bytes, time or redirects than allowed.
    """
    limits = limits or VideoLimits()
    end = time.monotonic() + limits.download_seconds
    secure = False
    for _ in range(limits.redirects + 1):
        destination = resolve(url, private=limits.private_addresses)
        if secure and not destination.secure:
            raise VideoSourceError(f"{destination.name}: redirected from https to http, where anyone can alter it.")
        secure = destination.secure
        location = _fetch_once(destination, file, limits, end)
        if location is None:
            return
        url = urljoin(url, location)
    raise VideoLimitError(f"{destination.name}: more than {limits.redirects} redirects. Pass the final address.")


def _fetch_once(destination: Destination, file: BinaryIO, limits: VideoLimits, end: float) -> str | None:
    """Asks one server; fills `file`, or returns where the answer points to."""
    name = short_name(destination.name)
    connection = _PinnedConnection(destination, limits.timeout_seconds)
    left = end - time.monotonic()
    # Timeouts of sockets start anew with every byte; a server that trickles is cut off from another thread.
    watchdog = Timer(max(left, 0.0), connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request("GET", destination.target, headers=_HEADERS)
        with connection.getresponse() as response:
            if response.status in _REDIRECTS:
                return _location(name, response)
            _check_answer(name, response, limits)
            received = _copy(name, response.read, file, limits.download_bytes)
        if connection.was_cut or (response.length or 0) > 0:
            raise HTTPException(f"it broke off after {received:,} bytes")
    except VideoError:
        raise
    except (OSError, HTTPException, ValueError) as exc:
        if connection.was_cut:
            raise VideoLimitError(
                f"{name}: not complete after {limits.download_seconds:g} s. Download it and pass its path."
            ) from exc
        raise VideoSourceError(
            f"{name} cannot be fetched ({reason(exc)}). Check the address, or download it and pass its path."
        ) from exc
    finally:
        watchdog.cancel()
        connection.close()
    return None


def _location(name: str, response: HTTPResponse) -> str:
    location = response.getheader("Location")
    if not location:
        raise VideoSourceError(f"{name}: answered {response.status} without saying where the file is.")
    return location


def _check_answer(name: str, response: HTTPResponse, limits: VideoLimits) -> None:
    if response.status != 200:
        raise VideoSourceError(
            f"{name}: answered {response.status} {response.reason}. Check the address, or pass a local path."
        )
    coding = response.getheader("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise VideoSourceError(f"{name}: sent as {coding}, against what was asked for; download it yourself.")
    if (response.length or 0) > limits.download_bytes:
        raise _too_large(name, limits.download_bytes)


def _copy(name: str, read: Callable[[int], bytes], file: BinaryIO, max_bytes: int) -> int:
    received = 0
    while chunk := read(CHUNK_BYTES):
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(name, max_bytes)
        file.write(chunk)
    return received


def _too_large(name: str, max_bytes: int) -> VideoLimitError:
    return VideoLimitError(
        f"{name} is larger than the limit of {max_bytes} bytes. Download it and pass its path, or raise "
        "limits={'download_bytes': ...}."
    )


class _PinnedConnection(HTTPConnection):
    """A connection to the addresses that were judged, whatever the host's name means by now; proxies are not used."""

    def __init__(self, destination: Destination, timeout: float) -> None:
        super().__init__(destination.host, destination.port, timeout=timeout)
        # The server's certificate and the Host header go by the name.
        self.default_port = 443 if destination.secure else 80
        self._destination = destination
        self._wire: socket.socket | None = None  # `sock` is forgotten once only the response reads from it
        self.was_cut = False

    def connect(self) -> None:
        failure: OSError | None = None
        for address in self._destination.addresses:
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
                break
            except OSError as exc:
                failure = exc
        else:
            raise failure or OSError("no address")
        if self._destination.secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
        self._wire = self.sock
        if self.was_cut:
            raise TimeoutError("the time for the download is over")

    def cut(self) -> None:
        """Ends the connection from another thread; what waits for it then fails."""
        self.was_cut = True
        if self._wire is not None:
            try:
                self._wire.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is gone already
                return


def download_object(url: str, file: BinaryIO, limits: VideoLimits | None = None) -> None:
    """Streams an object that fsspec can open into `file`, counting the bytes that arrive.

    Raises:
        VideoSourceError: a protocol that is not an object store's, a missing package, or an object that cannot be
            read.
        VideoLimitError: more bytes or time than allowed.
    """
    limits = limits or VideoLimits()
    scheme, name = scheme_of(url), short_name(urlsplit(url)._replace(query="", fragment="").geturl())
    if "::" in url or (scheme not in OBJECT_STORES and not limits.private_addresses):
        raise VideoSourceError(
            f"a video source that starts with `{scheme}:` is refused: it may lead to any file or machine. Accepted "
            f"are paths, https, http and {', '.join(OBJECT_STORES)}; else download it and pass its path."
        )
    if fsspec is None:
        raise VideoSourceError(f"{name}: {scheme}:// needs fsspec; run `pip install 'video-lmms[remote]'`.")
    end = time.monotonic() + limits.download_seconds
    try:
        with fsspec.open(url, "rb") as remote:

            def read(size: int) -> bytes:
                if time.monotonic() > end:
                    raise VideoLimitError(f"{name}: not complete after {limits.download_seconds:g} s.")
                return remote.read(size)

            _copy(name, read, file, limits.download_bytes)
    except ImportError as exc:
        raise VideoSourceError(
            f"{name}: {exc}. `pip install 'video-lmms[remote]'` brings the packages for s3:// and gs://."
        ) from exc
    except VideoError:
        raise
    except Exception as exc:  # each store raises its own kinds
        raise VideoSourceError(f"{name} cannot be fetched ({type(exc).__name__}: {reason(exc)}).") from exc


@contextmanager
def fetch(source: Any, limits: VideoLimits | None = None) -> Iterator[Any]:
    """Yields `source` itself, or an open temporary file with the content of a URL.

    Args:
        source: anything.
        limits: see `download`.

    Raises:
        VideoError: see `download` and `download_object`.
    """
    scheme = scheme_of(source)
    if scheme is None:
        yield source
        return
    with tempfile.TemporaryFile() as file:
        (download if scheme in _WEB else download_object)(source, file, limits)
        file.seek(0)
        yield file


__all__ = ["OBJECT_STORES", "download", "download_object", "fetch", "is_url", "scheme_of"]
