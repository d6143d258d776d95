"""Simulated CSS API, which drops streams."""

import hashlib
import hmac
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from config.sections import LiveSettings
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/(?P<date>\d{4}-\d\d-\d\d)/(?P<service>\w+)"
    r"/tc3_request, SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
REQUIRED_SIGNED_HEADERS = {"content-type", "host"}
"""Headers that every signature must cover."""
MAX_AGE_SECONDS = 300


class SimulatedCss:
    """Streams behind Tencent Cloud's TC3 signature check.

    For tests: `dropped` holds the names of all drop requests, in order.
    """

    def __init__(self, live: LiveSettings, now: Callable[[], float]) -> None:
        self.dropped: list[str] = []
        self._secret_id = live.secret_id
        self._secret_key = live.secret_key
        self._now = now

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Always HTTP 200, a failure in Response.Error; succeeds even if no such stream is live."""
        stream = (request.json_object() or {}).get("StreamName")
        content: dict[str, Any] = {}
        if code := self._auth_error(request) or _request_error(request, stream):
            content = {"Error": {"Code": code, "Message": f"error {code}"}}
        else:
            self.dropped.append(str(stream))
        return json_reply({"Response": {**content, "RequestId": str(uuid.uuid4())}})

    def _auth_error(self, request: SimulatorRequest) -> str:
        auth = AUTHORIZATION.fullmatch(request.header("Authorization"))
        timestamp = request.header("X-TC-Timestamp")
        if auth is None or not (
            timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
        ):
            return "AuthFailure.InvalidAuthorization"
        if auth["id"] != self._secret_id:
            return "AuthFailure.SecretIdNotFound"
        if abs(self._now() - int(timestamp)) > MAX_AGE_SECONDS:
            return "AuthFailure.SignatureExpire"
        names = auth["names"].split(";")
        scope = (auth["date"], auth["service"])
        expected = signature(self._secret_key, scope[1], int(timestamp), names, request)
        day = datetime.fromtimestamp(int(timestamp), UTC).date().isoformat()
        valid = scope == (day, "live") and set(names) >= REQUIRED_SIGNED_HEADERS
        matches = hmac.compare_digest(expected, auth["signature"])
        return "" if valid and matches else "AuthFailure.SignatureFailure"


def _request_error(request: SimulatorRequest, stream: object) -> str:
    if request.header("X-TC-Action") != "DropLiveStream":
        return "InvalidAction"
    return "" if stream and isinstance(stream, str) else "MissingParameter"


def signature(
    secret_key: str, service: str, timestamp: int, names: list[str], request: SimulatorRequest
) -> str:
    """The expected signature of a request in hex, always for the path "/".

    Source: Tencent Cloud API 3.0, "signature v3" (TC3-HMAC-SHA256).
    """
    headers = "".join(f"{name}:{request.header(name).strip().lower()}\n" for name in names)
    payload = hashlib.sha256(request.body).hexdigest()
    canonical_request = f"{request.method}\n/\n\n{headers}\n{';'.join(names)}\n{payload}"
    date = datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    scope = f"{date}/{service}/tc3_request"
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    string_to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    return hmac.digest(key, string_to_sign.encode(), hashlib.sha256).hex()
