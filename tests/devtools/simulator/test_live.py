import json

import pytest

from config.sections import LiveSettings
from devtools.simulator.live import SimulatedCss
from devtools.simulator.wire import SimulatorRequest
from tencent.css import tc3_signature

NOW = 1700000000
SETTINGS = LiveSettings(secret_id="AKIDTEST", secret_key="SECRETTEST")
KNOWN = json.dumps({"StreamName": "room_1", "AppName": "live"}).encode()
HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Host": "live.tencentcloudapi.com",
    "X-TC-Action": "DropLiveStream",
    "X-TC-Timestamp": str(NOW),
}
NAMES = ("content-type", "host", "x-tc-action")


def signed(body=KNOWN, names=NAMES, *, id_="AKIDTEST", key="SECRETTEST", signature=""):
    covered = {name: SimulatorRequest("POST", "/", {}, HEADERS).header(name) for name in names}
    covered = {name: value.lower() for name, value in covered.items()}
    signature = signature or tc3_signature(key, "live", NOW, covered, body)
    scope = f"{id_}/2023-11-14/live/tc3_request"
    authorization = (
        f"TC3-HMAC-SHA256 Credential={scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return SimulatorRequest("POST", "/live", {}, HEADERS | {"Authorization": authorization}, body)


def changed(request, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimulatorRequest("POST", "/live", {}, {**request.headers, **headers}, body or KNOWN)


def error(request, now=NOW):
    """The error code of an answer, "" if the stream was dropped."""
    live = SimulatedCss(SETTINGS, lambda: now)
    reply = live.answer(request)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    answer = json.loads(reply.body)["Response"]
    assert answer["RequestId"]
    code = answer.get("Error", {}).get("Code", "")
    assert live.dropped == ([] if code else ["room_1"])
    return code


def test_a_signed_request_drops_the_stream_for_five_minutes(vectors):
    case = vectors("tc3")["cases"][1]
    assert error(signed(case["payload"].encode(), signature=case["signature"])) == ""
    for now in (NOW - 300, NOW + 300):
        assert error(signed(), now) == ""
    for now in (NOW - 301, NOW + 301):
        assert error(signed(), now) == "AuthFailure.SignatureExpire"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (signed(signature="0" * 64), "SignatureFailure"),
        (signed(key="OTHER"), "SignatureFailure"),
        (signed(id_="AKIDOTHER"), "SecretIdNotFound"),
        (signed(signature="short"), "InvalidAuthorization"),
        (signed(names=("content-type", "x-tc-action")), "SignatureFailure"),  # host is missing
        (changed(signed(), KNOWN + b" "), "SignatureFailure"),
        (changed(signed(), Host="elsewhere"), "SignatureFailure"),
        (changed(signed(), X_TC_Timestamp="5"), "SignatureExpire"),
        (changed(signed(), Authorization=""), "InvalidAuthorization"),
        (changed(signed(), Authorization="SKIP", X_TC_Timestamp="soon"), "InvalidAuthorization"),
    ],
)
def test_wrong_or_missing_signature_is_refused(request_, code):
    assert error(request_) == f"AuthFailure.{code}"
