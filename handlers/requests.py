"""What a request says of itself: where it comes from, and its number."""

import re
import uuid
from collections.abc import Collection

from tornado.httputil import HTTPServerRequest

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def address_of(request: HTTPServerRequest, trusted: Collection[str]) -> str:
    """The caller's address: of those forwarded, the last that no trusted proxy is."""
    said = request.headers.get("X-Forwarded-For", "").split(",")
    addresses = [*(part.strip() for part in said if part.strip()), request.remote_ip or ""]
    while len(addresses) > 1 and addresses[-1] in trusted:
        addresses.pop()
    return addresses[-1]


def id_of(request: HTTPServerRequest) -> str:
    """What the caller calls this request, where that is fit for a log; otherwise a new number."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
