import json
from typing import Any

import pytest

from tencent.simulator.live import Live, signature
from tencent.simulator.wire import SimRequest

NOW = 1700000000
KNOWN = {"StreamName": "room_1", "DomainName": "push.example.com", "AppName": "live"}
NAMES = ["content-type", "host", "x-tc-action"]


def request(content: Any, action: str = "DropLiveStream", **headers: str) -> SimRequest:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    given = {
        "Content-Type": "application/json; charset=utf-8",
        "Host": "live.tencentcloudapi.com",
        "X-TC-Action": action,
        "X-TC-Version": "2018-08-01",
        "X-TC-Timestamp": str(NOW),
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return SimRequest("POST", "/live", {}, given, body)


def signed(asked: SimRequest, names: list[str] = NAMES, **other: str) -> SimRequest:
    said = {"id": "AKIDTEST", "key": "SECRETTEST", "date": "2023-11-14", "service": "live", **other}
    made = signature(said["key"], said["service"], NOW, names, asked)
    authorization = (
        f"TC3-HMAC-SHA256 Credential={said['id']}/{said['date']}/{said['service']}/tc3_request, "
        f"SignedHeaders={';'.join(names)}, Signature={said.get('signature', made)}"
    )
    headers = {**asked.headers, "Authorization": authorization}
    return SimRequest(asked.method, asked.path, asked.query, headers, asked.body)


@pytest.fixture
def live() -> Live:
    return Live("AKIDTEST", "SECRETTEST", lambda: NOW)


def ask(live: Live, asked: SimRequest) -> dict[str, Any]:
    reply = live.answer(asked)
    # Whatever is not exactly this type the SDK takes for a success, errors included.
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    answer: dict[str, Any] = json.loads(reply.body)["Response"]
    assert answer.pop("RequestId")
    return answer


def error(live: Live, asked: SimRequest) -> str:
    code: str = ask(live, asked)["Error"]["Code"]
    assert live.dropped == []
    return code


@pytest.mark.parametrize("number", [0, 1])
def test_the_signature_is_tencents_own(vectors: Any, number: int) -> None:
    case = vectors("tc3")["cases"][number]
    asked = request(
        case["payload"].encode(), case["action"], Host=case["host"], X_TC_Timestamp="unused"
    )
    made = signature(case["secret_key"], case["service"], case["timestamp"], NAMES, asked)
    assert made == case["signature"]


def test_the_vector_of_droplivestream_ends_a_push(live: Live, vectors: Any) -> None:
    case = vectors("tc3")["cases"][1]
    live.pushing = {"room_1", "room_2"}
    asked = signed(request(case["payload"].encode()), signature=case["signature"])
    assert ask(live, asked) == {}
    assert (live.dropped, live.pushing) == (["room_1"], {"room_2"})


def test_a_stream_that_is_not_live_is_dropped_all_the_same(live: Live) -> None:
    for _ in range(2):
        assert ask(live, signed(request(KNOWN))) == {}
    assert live.dropped == ["room_1", "room_1"]


def test_the_state_of_a_stream(live: Live) -> None:
    asked = signed(request(KNOWN, "DescribeLiveStreamState"))
    assert ask(live, asked) == {"StreamState": "inactive"}
    live.pushing.add("room_1")
    assert ask(live, asked) == {"StreamState": "active"}


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"signature": "0" * 64}, "AuthFailure.SignatureFailure"),
        ({"key": "OTHER"}, "AuthFailure.SignatureFailure"),
        ({"date": "2023-11-15"}, "AuthFailure.SignatureFailure"),
        ({"service": "cvm"}, "AuthFailure.SignatureFailure"),
        ({"id": "AKIDOTHER"}, "AuthFailure.SecretIdNotFound"),
        ({"signature": "short"}, "AuthFailure.InvalidAuthorization"),
    ],
)
def test_another_signature_is_refused(live: Live, other: dict[str, str], code: str) -> None:
    assert error(live, signed(request(KNOWN), **other)) == code


def test_a_changed_request_is_refused(live: Live) -> None:
    asked = signed(request(KNOWN))
    changed = [
        SimRequest("POST", "/live", {}, asked.headers, asked.body + b" "),
        SimRequest("GET", "/live", {}, asked.headers, asked.body),
        SimRequest("POST", "/live", {}, {**asked.headers, "Host": "elsewhere"}, asked.body),
        SimRequest("POST", "/live", {}, {**asked.headers, "X-TC-Timestamp": "5"}, asked.body),
    ]
    codes = [error(live, other) for other in changed]
    assert codes == [*["AuthFailure.SignatureFailure"] * 3, "AuthFailure.SignatureExpire"]


@pytest.mark.parametrize("now", [NOW - 301, NOW + 301])
def test_a_signature_is_good_for_five_minutes(now: int) -> None:
    live = Live("AKIDTEST", "SECRETTEST", lambda: now)
    assert error(live, signed(request(KNOWN))) == "AuthFailure.SignatureExpire"


def test_a_signature_must_cover_host_and_type(live: Live) -> None:
    asked = signed(request(KNOWN), ["content-type", "x-tc-action"])
    assert error(live, asked) == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "SKIP"}, {"X_TC_Timestamp": "soon", "Authorization": ""}]
)
def test_who_signs_nothing_is_refused(live: Live, headers: dict[str, str]) -> None:
    assert error(live, request(KNOWN, **headers)) == "AuthFailure.InvalidAuthorization"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request(KNOWN, "ForbidLiveStream"), "InvalidAction"),
        (request(KNOWN, X_TC_Version="2019-01-01"), "NoSuchVersion"),
        (request(b"{"), "InvalidParameter"),
        (request({**KNOWN, "StreamName": 5}), "InvalidParameter"),
        (request({**KNOWN, "StreamName": ""}), "MissingParameter"),
        (request({**KNOWN, "DomainName": None}), "MissingParameter"),
        (request({"StreamName": "room_1", "DomainName": "d"}), "MissingParameter"),
    ],
)
def test_a_call_that_lacks_something_is_refused(live: Live, asked: SimRequest, code: str) -> None:
    assert error(live, signed(asked)) == code
