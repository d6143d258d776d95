"""Simulated API of Tencent Cloud: the check of its signatures, and FaceID."""

import hmac
import re
from collections.abc import Callable
from typing import Any

from config.sections import AgeVerificationSettings, LiveStreamingSettings
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
    """Compare a name and an ID number, as FaceID, by the name alone. The log has neither."""
    code = auth_error(request, "faceid", settings, now())
    if not code and request.header("X-TC-Action") != "IdCardVerification":
        code = "InvalidAction"
    name = (request.json_object() or {}).get("Name")
    return cloud_reply(code, Result=RESULTS.get(str(name), "0"))
