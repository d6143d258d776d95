"""Client address and request id, read from the request and its headers."""

import re
import uuid
from collections.abc import Collection

from tornado.httputil import HTTPServerRequest

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def remote_ip(request: HTTPServerRequest, trusted: Collection[str]) -> str:
    """Client IP address: the rightmost in X-Forwarded-For that is not a trusted proxy."""
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    addresses = [*(part.strip() for part in forwarded if part.strip()), request.remote_ip or ""]
    while len(addresses) > 1 and addresses[-1] in trusted:
        addresses.pop()
    return addresses[-1]


def request_id(request: HTTPServerRequest) -> str:
    """The client's X-Request-Id if it is safe to log, otherwise a new UUID in hex."""
    header = request.headers.get("X-Request-Id", "")
    return header if _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex
