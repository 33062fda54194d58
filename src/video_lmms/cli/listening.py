# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Where servers of this package wait for connections."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import ExitStack

from .console import fail


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that waits for connections.

    Its protocol is named, because asyncio sends at once only on sockets that name it: on others, what follows a
    response's head waits for the client's acknowledgement, which takes 40 ms.

    Raises:
        typer.Exit: code 2; the port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        with ExitStack() as unless_it_listens:
            listener = unless_it_listens.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            unless_it_listens.pop_all()
    except OSError as error:
        raise fail(
            f"Cannot listen at {host}, port {port}: {error.strerror or error}. Choose another --port (0 takes a free "
            "one), or leave --host out."
        ) from None
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    """The address of a server, as a browser wants it."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
