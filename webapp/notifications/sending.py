"""Posts to an address that a stranger may have chosen: hostile until it has answered, and afterwards.

The host is resolved once, every address it has is checked, and the connection goes to a checked one: a name that
resolves differently the second time (DNS rebinding) gains nothing. Redirects are not followed, proxies of the
environment are not used, and a server that sends a byte now and then is cut off after ``MOST_SECONDS``.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

SILENT_SECONDS = 10.0  # for a connection, and between bytes
MOST_SECONDS = 25.0  # for all of it
KEPT = 200  # characters of an answer
_NAT64 = IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """The address may not be called; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is None when there was no answer; ``text`` says why, or how the answer begins."""

    status: int | None
    text: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def check_url(url: str) -> SplitResult:
    """The parts of an address that may be called as far as its text tells; raises Refused."""
    if not re.fullmatch(r"[!-~]{1,500}", url):
        raise Refused("Write an address of at most 500 characters, without spaces; others percent-encoded.")
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        raise Refused("This is not an address.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_port:
        raise Refused("Write an address that starts with https:// or http://.")
    if parts.username is not None or parts.password is not None:
        raise Refused("Leave name and password out of the address: messages are signed instead.")
    with contextlib.suppress(ValueError):
        _check_address(ip_address(parts.hostname))
    if parts.hostname == "localhost" and not settings.WEBHOOK_PRIVATE:
        raise Refused(_PRIVATE)
    return parts


_PRIVATE = "This address is private. The operator allows private addresses with CANOPY_WEBHOOK_PRIVATE=true."


def _check_address(address: IPv4Address | IPv6Address) -> None:
    """Addresses of the inside are refused, also where an IPv6 address wraps one."""
    if settings.WEBHOOK_PRIVATE:
        return
    wrapped: list[IPv4Address | IPv6Address] = [address]
    if isinstance(address, IPv6Address):
        wrapped += [each for each in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if each]
        if address in _NAT64:
            wrapped.append(IPv4Address(int(address) & 0xFFFFFFFF))
    if not all(each.is_global and not each.is_multicast for each in wrapped):
        raise Refused(_PRIVATE)


def resolve(host: str, port: int) -> list[str]:
    """Every address of the host, all of them allowed; raises Refused, or OSError when there are none."""
    found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        _check_address(ip_address(address))
    return list(dict.fromkeys(found))


class _Pinned(http.client.HTTPConnection):
    """A connection to ``addresses`` and nowhere else, for ``host`` by name."""

    def __init__(self, host: str, port: int, addresses: list[str], *, tls: bool) -> None:
        super().__init__(host, port, timeout=SILENT_SECONDS)
        self.default_port = 443 if tls else 80  # left out of the Host header
        self._addresses, self._tls = addresses, tls

    def connect(self) -> None:
        self.sock = self._reach()
        if self._tls:
            context = ssl.create_default_context()
            # The handshake comes once self.sock is the wrapped socket, so that cut() ends it too.
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock.do_handshake()

    def _reach(self) -> socket.socket:
        *others, last = self._addresses[:2]
        for address in others:
            with contextlib.suppress(OSError):
                return socket.create_connection((address, self.port), SILENT_SECONDS)
        return socket.create_connection((last, self.port), SILENT_SECONDS)

    def cut(self) -> None:
        """Ends what another thread waits for."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # below TLS, whose state belongs to that thread


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) over ``timestamp.body``, in hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def post(url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Post the JSON once. Never raises for what the other side does."""
    began = time.monotonic()
    try:
        status, text = _exchange(check_url(url), body, headers)
    except (Refused, OSError, http.client.HTTPException, ValueError) as error:
        status, text = None, str(error) or type(error).__name__
    return Answer(status, _plain(text), time.monotonic() - began)


def _exchange(parts: SplitResult, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    tls, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if tls else 80)
    connection = _Pinned(host, port, resolve(host, port), tls=tls)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    limit = threading.Timer(MOST_SECONDS, connection.cut)
    limit.daemon = True
    limit.start()
    try:
        connection.request("POST", path, body, headers | {"Content-Type": "application/json", "User-Agent": "Canopy"})
        answer = connection.getresponse()
        text = answer.read(4 * KEPT).decode(errors="replace")
        if 300 <= answer.status < 400:
            text = "The address redirects, which is not followed. Enter the address it leads to."
        return answer.status, text
    finally:
        limit.cancel()
        connection.close()


def _plain(text: str) -> str:
    """One line of printable text."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:KEPT]
