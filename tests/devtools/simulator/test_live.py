import json
from typing import Any

import pytest

from config.sections import LiveSettings
from devtools.simulator.live import SimulatedCss
from devtools.simulator.wire import SimulatorRequest
from tencent.css import tc3_signature

NOW = 1700000000
SETTINGS = LiveSettings(secret_id="AKIDTEST", secret_key="SECRETTEST")
KNOWN = {"StreamName": "room_1", "DomainName": "push.example.com", "AppName": "live"}
NAMES = ["content-type", "host", "x-tc-action"]


def make_request(content: Any, action: str = "DropLiveStream", **headers: str) -> SimulatorRequest:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    all_headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Host": "live.tencentcloudapi.com",
        "X-TC-Action": action,
        "X-TC-Version": "2018-08-01",
        "X-TC-Timestamp": str(NOW),
    }
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return SimulatorRequest("POST", "/live", {}, all_headers, body)


def signed(request: SimulatorRequest, names: list[str] = NAMES, **other: str) -> SimulatorRequest:
    terms = {"id": "AKIDTEST", "key": "SECRETTEST"} | other
    headers = {name: request.header(name).lower() for name in names}
    computed = tc3_signature(terms["key"], "live", NOW, headers, request.body)
    scope = f"{terms['id']}/2023-11-14/live/tc3_request"
    authorization = (
        f"TC3-HMAC-SHA256 Credential={scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={terms.get('signature', computed)}"
    )
    all_headers = {**request.headers, "Authorization": authorization}
    return SimulatorRequest(request.method, request.path, request.query, all_headers, request.body)


@pytest.fixture
def live() -> SimulatedCss:
    return SimulatedCss(SETTINGS, lambda: NOW)


def call(live: SimulatedCss, request: SimulatorRequest) -> dict[str, Any]:
    reply = live.answer(request)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    answer: dict[str, Any] = json.loads(reply.body)["Response"]
    assert answer.pop("RequestId")
    return answer


def error(live: SimulatedCss, request: SimulatorRequest) -> str:
    code: str = call(live, request)["Error"]["Code"]
    assert live.dropped == []
    return code


def test_signed_drop_live_stream_ends_a_push(live: SimulatedCss, vectors: Any) -> None:
    case = vectors("tc3")["cases"][1]
    request = signed(make_request(case["payload"].encode()), signature=case["signature"])
    assert call(live, request) == {}
    assert live.dropped == ["room_1"]


def test_dropping_a_stream_that_is_not_live_succeeds(live: SimulatedCss) -> None:
    for _ in range(2):
        assert call(live, signed(make_request(KNOWN))) == {}
    assert live.dropped == ["room_1", "room_1"]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"signature": "0" * 64}, "AuthFailure.SignatureFailure"),
        ({"key": "OTHER"}, "AuthFailure.SignatureFailure"),
        ({"id": "AKIDOTHER"}, "AuthFailure.SecretIdNotFound"),
        ({"signature": "short"}, "AuthFailure.InvalidAuthorization"),
    ],
)
def test_wrong_signature_is_refused(live: SimulatedCss, other: dict[str, str], code: str) -> None:
    assert error(live, signed(make_request(KNOWN), **other)) == code


def test_request_changed_after_signing_is_refused(live: SimulatedCss) -> None:
    request = signed(make_request(KNOWN))
    changed_requests = [
        SimulatorRequest("POST", "/live", {}, request.headers, request.body + b" "),
        SimulatorRequest(
            "POST", "/live", {}, {**request.headers, "Host": "elsewhere"}, request.body
        ),
        SimulatorRequest(
            "POST", "/live", {}, {**request.headers, "X-TC-Timestamp": "5"}, request.body
        ),
    ]
    codes = [error(live, changed) for changed in changed_requests]
    assert codes == [*["AuthFailure.SignatureFailure"] * 2, "AuthFailure.SignatureExpire"]


@pytest.mark.parametrize("now", [NOW - 301, NOW + 301])
def test_signature_is_valid_for_five_minutes(now: int) -> None:
    live = SimulatedCss(SETTINGS, lambda: now)
    assert error(live, signed(make_request(KNOWN))) == "AuthFailure.SignatureExpire"


def test_signature_must_cover_host_and_content_type(live: SimulatedCss) -> None:
    request = signed(make_request(KNOWN), ["content-type", "x-tc-action"])
    assert error(live, request) == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "SKIP"}, {"X_TC_Timestamp": "soon", "Authorization": ""}]
)
def test_unsigned_request_is_refused(live: SimulatedCss, headers: dict[str, str]) -> None:
    assert error(live, make_request(KNOWN, **headers)) == "AuthFailure.InvalidAuthorization"
