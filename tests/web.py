# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""An internet in miniature: names with addresses of their own choice, one server behind all public ones.

Nothing leaves the machine. A connection to a public address reaches the server; one to any other address is noted and
refused, and so is whatever FFmpeg itself might connect to, by a listener that only counts.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from video_lmms.processing.video_addresses import is_public


PUBLIC = "93.184.215.14"
SECOND_PUBLIC = "151.101.1.69"

Answer = Callable[[BaseHTTPRequestHandler], None]


def content(data: bytes, **headers: str) -> Answer:
    """An ordinary answer."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in ({"Content_Length": str(len(data))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


class Web:
    """The miniature internet.

    Attributes:
        pages: path -> answer.
        names: host name -> addresses, or a list of them to be given one after the other.
        strangers: addresses outside the public internet that somebody tried to connect to.
        visited: addresses of public servers that were connected to.
        looked_up: host names that were resolved.
        asked: (Host header, path) of all requests.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.names: dict[str, list] = {"public.test": [PUBLIC], "cdn.test": [SECOND_PUBLIC]}
        self.strangers: list[str] = []
        self.visited: list[str] = []
        self.looked_up: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self._real_lookup, self._real_connect = socket.getaddrinfo, socket.socket.connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.private_port = self._listener.getsockname()[1]
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append((self.headers["Host"], self.path))
                page = web.pages.get(self.path.partition("?")[0])
                try:
                    page(self) if page else self.send_error(404)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Keeps the terminal clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Switches everything off; calling it twice is harmless."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._listener.close()

    @property
    def port(self) -> int:
        """Where the server really listens."""
        return self._server.server_address[1]

    def lookup(self, host: str, port: object, *args: object, **kwargs: object) -> list[tuple]:
        """Stands in for `socket.getaddrinfo`: knows `names` and every way to write an address."""
        host = host.encode("idna").decode() if isinstance(host, str) and not host.isascii() else host
        self.looked_up.append(host)
        addresses = self.names.get(host.lower().rstrip("."))
        if addresses is None:
            kwargs["flags"] = socket.AI_NUMERICHOST
            return self._real_lookup(host, port, *args, **kwargs)
        if isinstance(addresses[0], list):
            addresses = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return [entry for address in addresses for entry in self._real_lookup(address, port, *args, **kwargs)]

    def connect(self, sock: socket.socket, address: tuple) -> None:
        """Stands in for `socket.socket.connect`."""
        if is_public(address[0]):
            self.visited.append(address[0])
            self._real_connect(sock, ("127.0.0.1", self.port))
        elif address[:2] == ("127.0.0.1", self.port):
            self._real_connect(sock, address)
        else:
            self.strangers.append(address[0])
            raise ConnectionRefusedError(f"{address} is off limits")

    @property
    def listener_was_reached(self) -> bool:
        """Whether anything at all connected to the private port."""
        self._listener.settimeout(0)
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True
