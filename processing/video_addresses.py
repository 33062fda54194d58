# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Where a URL leads: parsed strictly, resolved once, and only to the public internet unless the caller allows more.

A server that opens any address it is given can be made to fetch what only it can reach: its own ports, its network,
the credentials that clouds serve at 169.254.169.254. So every address is judged after it is resolved, whatever way
it was written, and the connection goes to the very address that was judged.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from .video_errors import VideoSourceError


IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
# Left out of `is_global` by some or all versions of Python.
_NOT_PUBLIC_V4 = tuple(map(ipaddress.ip_network, ("192.88.99.0/24", "192.0.0.0/24")))
_GLOBAL_UNICAST_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# `urlsplit` silently drops or accepts these, and other programs read them in other ways.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")


class Destination(NamedTuple):
    """A URL taken apart, with the addresses its host has.

    Attributes:
        name: the URL without query and fragment, for messages: a query may hold a key.
        secure: whether it is https.
        host: name or literal address, as the server knows itself.
        port: TCP port.
        target: path and query, as sent to the server.
        addresses: where the host is, in the resolver's order.
    """

    name: str
    secure: bool
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]


def resolve(url: str, *, private: bool = False) -> Destination:
    """Takes an http(s) URL apart and looks its host up, once.

    Args:
        url: the URL.
        private: whether addresses outside the public internet are fine.

    Raises:
        VideoSourceError: a malformed URL, user names in it, a host that is unknown or, unless `private`, has any
            address that is not public.
    """
    if _FORBIDDEN.search(url):
        raise VideoSourceError("the URL holds spaces, control characters or a backslash; percent-encode them.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise VideoSourceError(f"the URL is malformed ({exc}).") from exc
    if parts.scheme not in _PORTS or not host:
        raise VideoSourceError(f"a URL starts with https:// or http:// and a host; got the scheme {parts.scheme!r}.")
    if "@" in parts.netloc:
        raise VideoSourceError(f"the URL of {host} holds a user name; fetch the file yourself and pass its path.")
    port = _PORTS[parts.scheme] if port is None else port
    name = f"{parts.scheme}://{parts.netloc}{parts.path}"
    target = quote(parts.path or "/", safe="/%:=&?~#+!$,;'@()*[]")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:=&?~#+!$,;'@()*[]")
    return Destination(name, parts.scheme == "https", host, port, target, _addresses(host, port, private))


def _addresses(host: str, port: int, private: bool) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise VideoSourceError(
            f"the host {host} is unknown ({exc}). Check the address, or pass a local path."
        ) from exc
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    refused = [address for address in addresses if not private and not is_public(address)]
    if refused or not addresses:
        raise VideoSourceError(
            f"{host} is not on the public internet ({refused[0] if refused else 'no address'}), and URLs may not lead "
            "elsewhere. If you trust whoever chose this URL, pass limits={'private_addresses': True}; or pass a path."
        )
    return addresses


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to a machine on the public internet, also where it embeds an IPv4 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if "%" in address:  # a zone: valid on one link only
        return False
    return _is_public_v4(found) if isinstance(found, ipaddress.IPv4Address) else _is_public_v6(found)


def _is_public_v4(address: ipaddress.IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special and not any(address in network for network in _NOT_PUBLIC_V4)


def _is_public_v6(address: ipaddress.IPv6Address) -> bool:
    if address in _NAT64:
        return _is_public_v4(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    # 6to4 and Teredo tunnels end at whatever IPv4 address they embed; no video is served from there.
    if address.sixtofour is not None or address.teredo is not None:
        return False
    return address in _GLOBAL_UNICAST_V6 and address.is_global


__all__ = ["Destination", "is_public", "resolve"]
