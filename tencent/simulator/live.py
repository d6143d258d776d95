"""Tencent's API of the live service: which streams are live, and ending one."""

import hashlib
import hmac
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tencent.simulator.wire import SimReply, SimRequest, json_reply

AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/(?P<date>\d{4}-\d\d-\d\d)/(?P<service>\w+)"
    r"/tc3_request, SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
NEEDED = {"content-type", "host"}
"""Headers that every signature must cover."""
VERSION = "2018-08-01"
FRESH_SECONDS = 300

Content = dict[str, Any]


class Live:
    """`pushing` (the names of streams that are live) and `dropped` (each as it was asked for, in
    order) are for tests.
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

    def answer(self, request: SimRequest) -> SimReply:
        """HTTP 200 always, a failure in Response.Error."""
        code = self._stranger(request) or self._wrong(request)
        if code:
            content: Content = {"Error": {"Code": code, "Message": f"error {code}"}}
        else:
            stream = (request.json_object() or {})["StreamName"]
            content = self._actions[request.header("X-TC-Action")](stream)
        return json_reply({"Response": {**content, "RequestId": str(uuid.uuid4())}})

    def _stranger(self, request: SimRequest) -> str:
        given = AUTHORIZATION.fullmatch(request.header("Authorization"))
        stamp = request.header("X-TC-Timestamp")
        if given is None or not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            return "AuthFailure.InvalidAuthorization"
        if given["id"] != self._secret_id:
            return "AuthFailure.SecretIdNotFound"
        if abs(self._now() - int(stamp)) > FRESH_SECONDS:
            return "AuthFailure.SignatureExpire"
        names = given["names"].split(";")
        scope = (given["date"], given["service"])
        right = signature(self._secret_key, scope[1], int(stamp), names, request)
        day = datetime.fromtimestamp(int(stamp), UTC).date().isoformat()
        good = scope == (day, "live") and set(names) >= NEEDED
        fits = hmac.compare_digest(right, given["signature"])
        return "" if good and fits else "AuthFailure.SignatureFailure"

    def _wrong(self, request: SimRequest) -> str:
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
        """A stream that is not live is no mistake."""
        self.dropped.append(stream)
        self.pushing.discard(stream)
        return {}

    def _state(self, stream: str) -> Content:
        return {"StreamState": "active" if stream in self.pushing else "inactive"}


def signature(
    secret_key: str, service: str, stamp: int, names: list[str], request: SimRequest
) -> str:
    """What the request should be signed with, in hex; it is always for the path "/".

    Source: Tencent Cloud API 3.0, "signature v3" (TC3-HMAC-SHA256).
    """
    headers = "".join(f"{name}:{request.header(name).strip().lower()}\n" for name in names)
    payload = hashlib.sha256(request.body).hexdigest()
    asked = f"{request.method}\n/\n\n{headers}\n{';'.join(names)}\n{payload}"
    date = datetime.fromtimestamp(stamp, UTC).date().isoformat()
    scope = f"{date}/{service}/tc3_request"
    digest = hashlib.sha256(asked.encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    text = f"TC3-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()
