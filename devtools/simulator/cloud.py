"""Simulated API of Tencent Cloud: the check of its signatures, CSS and FaceID."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tornado.httpclient import HTTPRequest

from config.sections import AgeVerificationSettings, LiveStreamingSettings
from devtools.simulator.notifications import JSON_HEADERS, SimulatedDelivery
from devtools.simulator.requests import StreamEventRequest
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from tencent.cloud_api import tc3_signature

AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/\d{4}-\d\d-\d\d/(?P<service>[a-z]+)"
    r"/tc3_request, SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
REQUIRED_SIGNED_HEADERS = {"content-type", "host"}
"""Headers that every signature must cover."""
MAX_AGE_SECONDS = 300
RESULTS = {"别人": "-1", "无名": "-5", "忙": "-6"}
"""Results of IdCardVerification by name; every other name matches every number."""


def auth_error(
    request: SimulatorRequest,
    service: str,
    key: LiveStreamingSettings | AgeVerificationSettings,
    now: float,
) -> str:
    """Return the code of the error in a request's signature, "" without one."""
    auth = AUTHORIZATION.fullmatch(request.header("Authorization"))
    timestamp = request.header("X-TC-Timestamp")
    if auth is None or auth["service"] != service or not timestamp.isdecimal():
        return "AuthFailure.InvalidAuthorization"
    if auth["id"] != key.secret_id:
        return "AuthFailure.SecretIdNotFound"
    if abs(now - int(timestamp)) > MAX_AGE_SECONDS:
        return "AuthFailure.SignatureExpire"
    names = auth["names"].split(";")
    headers = {name: request.header(name).strip().lower() for name in names}
    expected = tc3_signature(key.secret_key, service, int(timestamp), headers, request.body)
    matches = hmac.compare_digest(expected, auth["signature"])
    if matches and set(names) >= REQUIRED_SIGNED_HEADERS:
        return ""
    return "AuthFailure.SignatureFailure"


def cloud_reply(code: str, **content: Any) -> SimulatorReply:
    """Return HTTP 200 in any case; `code` is "" for a success."""
    if code:
        content = {"Error": {"Code": code, "Message": f"error {code}"}}
    return json_reply({"Response": {**content, "RequestId": "simulated"}})


def compare_identity(
    settings: AgeVerificationSettings, now: Callable[[], float], request: SimulatorRequest
) -> SimulatorReply:
    """Compare a name and an ID number, as FaceID, by the name alone. The log has neither.

    No number begins with 0: that of no region does.
    """
    code = auth_error(request, "faceid", settings, now())
    if not code and request.header("X-TC-Action") != "IdCardVerification":
        code = "InvalidAction"
    content = request.json_object() or {}
    is_number = not str(content.get("IdCard")).startswith("0")
    result = RESULTS.get(str(content.get("Name")), "0") if is_number else "-2"
    return cloud_reply(code, Result=result)


@dataclass(eq=False)
class SimulatedLiveStreaming:
    """Drops and forbids streams of CSS, and reports what they show to `address`.

    Tests use `dropped`, the names of all dropped streams in order, and `forbidden`, until when
    (Unix time) a stream may not be pushed.
    """

    _settings: LiveStreamingSettings
    _now: Callable[[], float]
    _address: str
    _delivery: SimulatedDelivery
    dropped: list[str] = field(default_factory=list)
    forbidden: dict[str, float] = field(default_factory=dict)

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Drop or forbid a stream, which need not be live."""
        if code := auth_error(request, "live", self._settings, self._now()):
            return cloud_reply(code)
        content = request.json_object() or {}
        stream = str(content.get("StreamName"))
        match request.header("X-TC-Action"):
            case "DropLiveStream":
                self.dropped.append(stream)
            case "ForbidLiveStream":
                until = datetime.strptime(str(content["ResumeTime"]), "%Y-%m-%dT%H:%M:%S%z")
                self.forbidden[stream] = until.timestamp()
            case "DescribeLiveStreamState":
                state = "forbid" if stream in self.forbidden else "inactive"
                return cloud_reply("", StreamState=state)
            case _:
                return cloud_reply("InvalidAction")
        return cloud_reply("")

    def send_event(self, request: StreamEventRequest) -> dict[str, Any]:
        """Report that a stream is suspicious, or that it is not recorded."""
        expires = int(self._now()) + 600
        key = "a guess" if request.report == "forged" else self._settings.callback_key
        sign = hashlib.md5(f"{key}{expires}".encode(), usedforsecurity=False).hexdigest()
        body = {**_event(request), "t": expires, "sign": sign}
        notification = HTTPRequest(self._address, "POST", JSON_HEADERS, json.dumps(body))
        self._delivery.start(notification, request.report)
        return {"outcome": "success"}


def _event(request: StreamEventRequest) -> dict[str, Any]:
    """Return the report; CSS spells the fields of pictures differently from the others."""
    stream, score = request.stream, request.score
    match request.event:
        case "picture":
            picture = {"event_type": 317, "streamId": stream, "type": [2], "hotScore": score}
            picture |= {"img": f"http://example.com/{stream}.jpg", "ocrMsg": "", "label": "Sexy"}
            judged = {"suggestion": request.suggestion, "score": [score]}
            return {**picture, **(judged if request.suggestion else {})}
        case "sound":
            heard = {"event_type": 315, "stream_id": stream, "label": "Abuse", "asr_text": "…"}
            return {**heard, "HitFlag": 1, "Score": score}
    return {"event_type": 332, "stream_id": stream, "record_event": request.event}
