"""Requests to addresses that an operator has entered, which must not reach our own network."""

import asyncio
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from core.errors import InvalidParameter
from storage.webhooks.deliveries import Attempt
from storage.webhooks.webhooks import MAX_WEBHOOKS

TIMEOUT = aiohttp.ClientTimeout(total=15)
"""Of an attempt: to resolve the name, to connect, and for the status of the answer."""
MAX_READ = 65_536
"""Bytes of an answer; many more, such as answers 1xx without end, would block the event loop."""
RESOLVERS = ThreadPoolExecutor(MAX_WEBHOOKS, "webhook_names")
"""Threads that resolve names, which takes up to a minute if a name server does not answer. The loop
itself resolves few names at a time, and those of Tencent must not wait behind these."""
HTTPS_PORT, LAST_SYSTEM_PORT = 443, 1023
METADATA = {IPv4Address("168.63.129.16")}
"""Addresses of the metadata of clouds, with their keys, that are public by number: Azure's."""
UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """The address is not one of the public internet."""


class BoundedAnswer(ResponseHandler):
    """Reads MAX_READ bytes, then closes the connection."""

    _left = MAX_READ

    def data_received(self, data: bytes) -> None:
        super().data_received(data[: self._left])
        self._left = max(0, self._left - len(data))
        if not self._left and self.transport:
            self.transport.abort()


class NameResolver(AbstractResolver):
    """Resolves names in threads of their own."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(RESOLVERS, look_up)
        result = partial(ResolveResult, hostname=host, port=port, flags=socket.AI_NUMERICHOST)
        return [
            result(host=str(at[0]), family=kind, proto=proto) for kind, _, proto, _, at in found
        ]

    async def close(self) -> None:
        """Keep the threads for the next request."""


class CheckedConnector(aiohttp.TCPConnector):
    """Resolves a name each time, and connects to addresses that may be called alone."""

    def __init__(self, *, allows_local: bool) -> None:
        super().__init__(
            resolver=NameResolver(),
            use_dns_cache=False,
            socket_factory=self._open_socket,
            force_close=True,
        )
        self._allows_local = allows_local
        self._factory: Any = partial(BoundedAnswer, loop=self._loop)  # aiohttp has no option

    def _open_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, *_) = address
        check_address(str(host), allows_local=self._allows_local)
        return socket.socket(family, kind, protocol)


async def post(url: str, headers: Mapping[str, str], body: bytes, *, allows_local: bool) -> Attempt:
    """Send one request, over a connection of its own, and return what came of it.

    Only the status and Retry-After of the answer are read.
    """
    at, started = datetime.now(UTC), time.monotonic()
    status, error, retry_after = 0, "", 0.0
    connector = CheckedConnector(allows_local=allows_local)
    session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, auto_decompress=False)
    try:
        async with (
            session,
            session.post(URL(url), data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
            retry_after = seconds_of(answer.headers.get("Retry-After", ""), at)
    except (aiohttp.ClientError, OSError, ValueError) as failure:  # OSError: also TimeoutError
        cause = failure.os_error if isinstance(failure, aiohttp.ClientConnectorError) else failure
        error = type(cause).__name__
    return Attempt(at, round(time.monotonic() - started, 3), status, error, retry_after)


def checked_url(url: str, *, allows_local: bool) -> str:
    """Return an address that an operator has entered, as it is sent: printable ASCII.

    Raises InvalidParameter.
    """
    if not url.isprintable():
        raise InvalidParameter({"url": "must have no control or invisible characters"})
    try:
        parsed = URL(url)
        if parsed.scheme != "https" and not (allows_local and parsed.scheme == "http"):
            raise InvalidParameter({"url": "must begin with https://"})
        if not parsed.host or parsed.user is not None or parsed.password is not None:
            raise InvalidParameter({"url": "must have a host, and no user"})
        is_open = parsed.port == HTTPS_PORT or (parsed.port or 0) > LAST_SYSTEM_PORT
        if not (is_open or allows_local):
            raise InvalidParameter({"url": "must have the port 443, or one above 1023"})
        check_literal(parsed.host, allows_local=allows_local)
    except AddressRefused:
        problem = "must not be an address of a private or reserved network"
        raise InvalidParameter({"url": problem}) from None
    except ValueError:
        raise InvalidParameter({"url": "must be a URL"}) from None
    return str(parsed)


def check_literal(host: str, *, allows_local: bool) -> None:
    """Raise AddressRefused for a host that is an address, in any notation, and not public."""
    host = host.rstrip(".")
    try:
        ip_address(host)
    except ValueError:
        try:
            host = str(IPv4Address(socket.inet_aton(host)))  # such as 127.1 or 0x7f000001
        except OSError:
            return  # a name, which is resolved at each attempt
    check_address(host, allows_local=allows_local)


def check_address(text: str, *, allows_local: bool) -> None:
    """Raise AddressRefused unless the address is public, or loopback where that is allowed."""
    address = ip_address(text)
    if not (_is_public(address) or (allows_local and address.is_loopback)):
        raise AddressRefused


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.sixtofour
        if inner is None:
            return address in UNICAST and address.is_global
        address = inner
    is_internal = address.is_multicast or address.is_reserved or address in METADATA
    return address.is_global and not is_internal


def seconds_of(retry_after: str, now: datetime) -> float:
    """Return the seconds of a Retry-After header, 0 if it has none."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0
