"""Simulated CSS API, which drops streams."""

import hmac
import re
from collections.abc import Callable
from typing import Any

from config.sections import LiveSettings
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from tencent.css import tc3_signature

AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/\d{4}-\d\d-\d\d/live"
    r"/tc3_request, SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
REQUIRED_SIGNED_HEADERS = {"content-type", "host"}
"""Headers that every signature must cover."""
MAX_AGE_SECONDS = 300


class SimulatedCss:
    """Drops streams for requests that pass Tencent Cloud's TC3 signature check.

    Tests use `dropped`, which has the names of all dropped streams, in order.
    """

    def __init__(self, live: LiveSettings, now: Callable[[], float]) -> None:
        self.dropped: list[str] = []
        self._secret_id = live.secret_id
        self._secret_key = live.secret_key
        self._now = now

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answers HTTP 200, with a failure in Response.Error; a stream need not be live."""
        content: dict[str, Any] = {"RequestId": "simulated"}
        if code := self._auth_error(request):
            content["Error"] = {"Code": code, "Message": f"error {code}"}
        else:
            self.dropped.append(str((request.json_object() or {}).get("StreamName")))
        return json_reply({"Response": content})

    def _auth_error(self, request: SimulatorRequest) -> str:
        auth = AUTHORIZATION.fullmatch(request.header("Authorization"))
        timestamp = request.header("X-TC-Timestamp")
        if auth is None or not timestamp.isdecimal():
            return "AuthFailure.InvalidAuthorization"
        if auth["id"] != self._secret_id:
            return "AuthFailure.SecretIdNotFound"
        if abs(self._now() - int(timestamp)) > MAX_AGE_SECONDS:
            return "AuthFailure.SignatureExpire"
        names = auth["names"].split(";")
        headers = {name: request.header(name).strip().lower() for name in names}
        expected = tc3_signature(self._secret_key, "live", int(timestamp), headers, request.body)
        matches = hmac.compare_digest(expected, auth["signature"])
        if matches and set(names) >= REQUIRED_SIGNED_HEADERS:
            return ""
        return "AuthFailure.SignatureFailure"
