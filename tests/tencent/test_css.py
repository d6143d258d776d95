import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from devtools.simulator.live import signature
from devtools.simulator.wire import SimulatorReply
from tencent.css import PERMANENT_ERROR_CODES, STREAM_NOT_LIVE_CODES, CssClient
from tencent.errors import CssRejected, ServiceUnavailable

async_test = pytest.mark.gen_test(timeout=30)

SUCCESS = {"Response": {"RequestId": "1"}}


def failed(code: str) -> dict[str, Any]:
    return {"Response": {"Error": {"Code": code, "Message": f"info {code}"}, "RequestId": "1"}}


@pytest.fixture
def css(simulator: Any, sim_url: str, clock: Any, monkeypatch: pytest.MonkeyPatch) -> CssClient:
    """Against the simulator, with the SDK on the simulator's clock."""
    monkeypatch.setattr("tencentcloud.common.abstract_client.time.time", clock)
    return CssClient(f"{sim_url}/live", "AKIDTEST", "SECRETTEST", "push.example.com")


@pytest.fixture
def scripted(serve: Any, scripted_service: Any) -> Callable[..., tuple[CssClient, Any]]:
    def build(*lines: Any) -> tuple[CssClient, Any]:
        service = scripted_service(*lines)
        return CssClient(serve(service), "AKIDTEST", "SECRETTEST", "push.example.com"), service

    return build


@async_test
async def test_sdk_ends_a_push_at_the_simulator_over_http(css: CssClient, simulator: Any) -> None:
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
    names, timestamp = ["content-type", "host"], int(request.header("X-TC-Timestamp"))
    expected = signature("SECRETTEST", "live", timestamp, names, request)
    assert request.header("Authorization").endswith(expected)


@async_test
async def test_unknown_secret_id_is_a_temporary_failure(sim_url: str, simulator: Any) -> None:
    css = CssClient(f"{sim_url}/live", "AKIDOTHER", "SECRETTEST", "push.example.com")
    with pytest.raises(ServiceUnavailable):
        await css.drop("room_1")
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
async def test_http_status_other_than_200_is_unavailable_and_not_repeated(
    css: CssClient, simulator: Any, status: int
) -> None:
    simulator.outage["live"] = status
    with pytest.raises(ServiceUnavailable):
        await css.drop("room_1")
    assert len(simulator.log) == 1
    simulator.outage.clear()
    await css.drop("room_1")


@async_test
async def test_refused_connection_is_unavailable() -> None:
    css = CssClient("http://127.0.0.1:9", "AKIDTEST", "SECRETTEST", "push.example.com")
    with pytest.raises(ServiceUnavailable):
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
async def test_silent_service_is_unavailable_and_its_thread_ends(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tencent.css.TIMEOUT_SECONDS", 0.2)

    async def silent(_request: Any) -> Any:
        await asyncio.Event().wait()

    css = CssClient(serve(silent), "AKIDTEST", "SECRETTEST", "push.example.com")
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await css.drop("room_1")
    # The SDK's own code: the thread timed out by itself.
    assert [entry["error_code"] for entry in logs] == ["ClientNetworkError"]


@async_test
async def test_endless_response_is_unavailable_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tencent.css.TIMEOUT_SECONDS", 0.2)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    finished, ended = asyncio.Event(), asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not finished.is_set():
            writer.write(b" ")
            await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        css = CssClient(f"http://127.0.0.1:{port}", "AKIDTEST", "SECRETTEST", "push.example.com")
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await css.drop("room_1")
        finished.set()
        await ended.wait()
    assert [entry.get("why") for entry in logs] == ["timeout"]


@async_test
async def test_proxies_and_netrc_of_the_environment_are_ignored(
    css: CssClient, simulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("default login user password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await css.drop("room_1")
    assert simulator.live.dropped == ["room_1"]


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
