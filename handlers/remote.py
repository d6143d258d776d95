"""Client address and request id, read from the request and its headers."""

import functools
import ipaddress
import re
import uuid
from collections.abc import Collection

from tornado.httputil import HTTPServerRequest

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d+|\[([^\]]*)\](?::\d+)?")
"""IPv4 with a port, and IPv6 in brackets, with or without."""


def remote_ip(request: HTTPServerRequest, trusted: Collection[str]) -> str:
    """Client IP address: the rightmost in X-Forwarded-For that is not a trusted proxy.

    Some proxies append the port, which is another one for every connection.
    """
    forwarded = request.headers.get("X-Forwarded-For")
    if not forwarded:
        return request.remote_ip or ""
    parts = (_without_port(part.strip()) for part in forwarded.split(","))
    addresses = [*filter(None, parts), request.remote_ip or ""]
    while len(addresses) > 1 and addresses[-1] in trusted:
        addresses.pop()
    return addresses[-1]


def _without_port(entry: str) -> str:
    match = _WITH_PORT.fullmatch(entry)
    return (match[1] or match[2]) if match else entry


@functools.lru_cache(maxsize=4096)
def limit_key(address: str) -> str:
    """The key of an address for rate limits: of IPv6 the /64, since a customer has a whole one."""
    if ":" not in address:
        return address[:64]
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))


def request_id(request: HTTPServerRequest) -> str:
    """The client's X-Request-Id if it is safe to log, otherwise a new UUID in hex."""
    header = request.headers.get("X-Request-Id", "")
    return header if _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex
