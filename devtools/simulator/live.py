"""Simulated CSS API: the state of streams, and dropping one."""

import hashlib
import hmac
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/(?P<date>\d{4}-\d\d-\d\d)/(?P<service>\w+)"
    r"/tc3_request, SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
REQUIRED_SIGNED_HEADERS = {"content-type", "host"}
"""Headers that every signature must cover."""
VERSION = "2018-08-01"
MAX_AGE_SECONDS = 300

Content = dict[str, Any]


class SimulatedCss:
    """Streams behind Tencent Cloud's TC3 signature check.

    For tests: `pushing` holds the names of live streams, `dropped` those of all drop requests, in
    order.
    """

    def __init__(self, secret_id: str, secret_key: str, now: Callable[[], float]) -> None:
        self.pushing: set[str] = set()
        self.dropped: list[str] = []
        self._secret_id = secret_id
        self._secret_key = secret_key
        self._now = now
        self._actions: dict[str, Callable[[str], Content]] = {
            "DropLiveStream": self._drop,
            "DescribeLiveStreamState": self._state,
        }

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Always HTTP 200, a failure in Response.Error."""
        code = self._auth_error(request) or self._request_error(request)
        if code:
            content: Content = {"Error": {"Code": code, "Message": f"error {code}"}}
        else:
            stream = (request.json_object() or {})["StreamName"]
            content = self._actions[request.header("X-TC-Action")](stream)
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

    def _request_error(self, request: SimulatorRequest) -> str:
        if request.header("X-TC-Action") not in self._actions:
            return "InvalidAction"
        if request.header("X-TC-Version") != VERSION:
            return "NoSuchVersion"
        content = request.json_object()
        if content is None:
            return "InvalidParameter"
        for name in ("StreamName", "DomainName", "AppName"):
            if not content.get(name):
                return "MissingParameter"
            if not isinstance(content[name], str):
                return "InvalidParameter"
        return ""

    def _drop(self, stream: str) -> Content:
        """Succeeds even if the stream is not live."""
        self.dropped.append(stream)
        self.pushing.discard(stream)
        return {}

    def _state(self, stream: str) -> Content:
        return {"StreamState": "active" if stream in self.pushing else "inactive"}


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
