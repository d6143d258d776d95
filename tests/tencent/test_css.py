import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.sections import LiveSettings
from devtools.simulator.wire import SimulatorReply
from tencent.css import PERMANENT_ERROR_CODES, STREAM_NOT_LIVE_CODES, CssClient, tc3_signature
from tencent.errors import CssRejected, ServiceUnavailable

async_test = pytest.mark.gen_test(timeout=30)

SUCCESS = {"Response": {"RequestId": "1"}}


def failed(code: str) -> dict[str, Any]:
    return {"Response": {"Error": {"Code": code, "Message": f"info {code}"}, "RequestId": "1"}}


BuildClient = Callable[..., CssClient]


@pytest.fixture
def css_at(make_service_client: Any, clock: Any) -> BuildClient:
    def build(url: str, timeout: float = 5.0, secret_id: str = "AKIDTEST") -> CssClient:
        live = LiveSettings(api_base=url, secret_id=secret_id, secret_key="SECRETTEST")
        return CssClient(make_service_client("live", url, timeout=timeout), live, clock)

    return build


@pytest.fixture
def css(sim_url: str, css_at: BuildClient) -> CssClient:
    return css_at(f"{sim_url}/live")


@pytest.fixture
def scripted(
    serve: Any, scripted_service: Any, css_at: BuildClient
) -> Callable[..., tuple[CssClient, Any]]:
    def build(*lines: Any) -> tuple[CssClient, Any]:
        service = scripted_service(*lines)
        return css_at(serve(service)), service

    return build


@pytest.mark.parametrize("number", [0, 1])
def test_signature_matches_the_vectors_of_tencent(vectors: Any, number: int) -> None:
    case = vectors("tc3")["cases"][number]
    headers = {
        "content-type": "application/json; charset=utf-8",
        "host": case["host"],
        "x-tc-action": case["action"].lower(),
    }
    signature = tc3_signature(
        case["secret_key"], case["service"], case["timestamp"], headers, case["payload"].encode()
    )
    assert signature == case["signature"]


@async_test
async def test_a_push_ends_at_the_simulator_over_http(css: CssClient, simulator: Any) -> None:
    await css.drop("room_1")
    assert simulator.live.dropped == ["room_1"]
    assert [(entry["service"], entry["outcome"]) for entry in simulator.log] == [("live", "ok")]


@async_test
async def test_dropping_a_stream_that_is_not_live_succeeds_repeatedly(
    css: CssClient, simulator: Any
) -> None:
    for _ in range(2):
        await css.drop("room_1")
    assert simulator.live.dropped == ["room_1", "room_1"]


@async_test
async def test_concurrent_drops_all_succeed(css: CssClient, simulator: Any) -> None:
    names = [f"room_{number}" for number in range(20)]
    await asyncio.gather(*(css.drop(name) for name in names))
    assert sorted(simulator.live.dropped) == sorted(names)


@async_test
async def test_drop_request_is_as_documented_and_signs_the_root_path(scripted: Any) -> None:
    css, service = scripted(SUCCESS)
    await css.drop("room_1")
    (request,) = service.requests
    assert (request.method, request.path) == ("POST", "/")  # relative to the base URL
    assert json.loads(request.body) == {
        "StreamName": "room_1",
        "DomainName": "push.example.com",
        "AppName": "live",
    }
    assert request.header("X-TC-Action") == "DropLiveStream"
    assert request.header("X-TC-Version") == "2018-08-01"
    headers = {name: request.header(name) for name in ("content-type", "host")}
    timestamp = int(request.header("X-TC-Timestamp"))
    expected = tc3_signature("SECRETTEST", "live", timestamp, headers, request.body)
    assert request.header("Authorization").endswith(expected)


@async_test
async def test_unknown_secret_id_is_a_temporary_failure(
    sim_url: str, simulator: Any, css_at: BuildClient
) -> None:
    with pytest.raises(ServiceUnavailable):
        await css_at(f"{sim_url}/live", secret_id="AKIDOTHER").drop("room_1")
    assert simulator.live.dropped == []
    assert simulator.log[-1]["outcome"] == "AuthFailure.SecretIdNotFound"


@async_test
async def test_clock_skew_is_a_temporary_failure(
    css: CssClient, clock: Any, simulator: Any
) -> None:
    simulator.live._now = lambda: clock() + 3600
    with pytest.raises(ServiceUnavailable):
        await css.drop("room_1")


@pytest.mark.parametrize("code", sorted(STREAM_NOT_LIVE_CODES))
@async_test
async def test_unknown_stream_counts_as_dropped(scripted: Any, code: str) -> None:
    css, service = scripted(failed(code))
    await css.drop("room_1")
    assert len(service.requests) == 1


@pytest.mark.parametrize("code", [*PERMANENT_ERROR_CODES, "InvalidParameter.InvalidStreamName"])
@async_test
async def test_permanent_error_codes_raise_css_rejected(scripted: Any, code: str) -> None:
    css, service = scripted(failed(code))
    with pytest.raises(CssRejected) as rejection:
        await css.drop("room_1")
    assert (rejection.value.code, str(rejection.value)) == (code, f"{code} info {code}")
    assert len(service.requests) == 1


TEMPORARY_FAILURES = [
    failed("InternalError"),
    failed("InternalError.CallOtherSvrError"),
    failed("FailedOperation"),
    failed("RequestLimitExceeded"),
    failed("SomethingNew"),
    {"Response": {"Error": {}, "RequestId": "1"}},
    {},
    [],
    "nonsense",
]


@pytest.mark.parametrize("answer", TEMPORARY_FAILURES)
@async_test
async def test_temporary_and_unreadable_answers_raise_service_unavailable(
    scripted: Any, answer: Any
) -> None:
    css, _ = scripted(answer)
    with pytest.raises(ServiceUnavailable) as failure:
        await css.drop("room_1")
    assert failure.value.code == "live_away"


@pytest.mark.parametrize("status", [302, 404, 500, 503])
@async_test
async def test_http_status_other_than_200_is_unavailable(
    css: CssClient, simulator: Any, status: int
) -> None:
    simulator.outage["live"] = status
    with pytest.raises(ServiceUnavailable):
        await css.drop("room_1")
    simulator.outage.clear()
    await css.drop("room_1")


@async_test
async def test_redirect_is_not_followed(scripted: Any, serve: Any, scripted_service: Any) -> None:
    elsewhere = scripted_service(SUCCESS)
    location = {"Location": serve(elsewhere), "Content-Type": "application/json"}
    css, _ = scripted(SimulatorReply(307, location, b"{}"))
    with pytest.raises(ServiceUnavailable):
        await css.drop("room_1")
    assert elsewhere.requests == []


@async_test
async def test_silent_service_is_unavailable(serve: Any, css_at: BuildClient) -> None:
    async def silent(_request: Any) -> Any:
        await asyncio.Event().wait()

    with pytest.raises(ServiceUnavailable) as failure:
        await css_at(serve(silent), timeout=0.1).drop("room_1")
    assert failure.value.code == "live_away"


@async_test
async def test_no_secret_is_logged_at_any_level(
    css: CssClient, simulator: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        await css.drop("room_1")
        simulator.live._secret_key = "OTHER"
        with pytest.raises(ServiceUnavailable):
            await css.drop("room_1")
    written = caplog.text + json.dumps(logs)
    assert "AuthFailure.SignatureFailure" in written
    for secret in ("AKIDTEST", "SECRETTEST", "Signature=", "TC3-HMAC"):
        assert secret not in written
    assert "SECRETTEST" not in repr(css)
