import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rooms.refusals import ServiceAway
from tencent.simulator.live import signature
from tencent.simulator.wire import SimReply
from tencent.streams import FOR_EVER, NOT_LIVE, LiveRefused, Streams

a_drop = pytest.mark.gen_test(timeout=30)

FINE = {"Response": {"RequestId": "1"}}


def failed(code: str) -> dict[str, Any]:
    return {"Response": {"Error": {"Code": code, "Message": f"info {code}"}, "RequestId": "1"}}


@pytest.fixture
def live(simulator: Any, sim_url: str, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Against the simulator, with the SDK on the simulator's clock."""
    monkeypatch.setattr("tencentcloud.common.abstract_client.time.time", clock)
    return Streams(f"{sim_url}/live", "AKIDTEST", "SECRETTEST", "push.example.com")


@pytest.fixture
def scripted(serve: Any, script: Any) -> Callable[..., tuple[Streams, Any]]:
    def build(*lines: Any) -> tuple[Streams, Any]:
        service = script(*lines)
        return Streams(serve(service), "AKIDTEST", "SECRETTEST", "push.example.com"), service

    return build


@a_drop
async def test_the_sdk_ends_a_push_at_the_simulator_over_a_real_socket(
    live: Streams, simulator: Any
) -> None:
    simulator.live.pushing = {"room_1", "room_2"}
    await live.drop("room_1")
    assert (simulator.live.dropped, simulator.live.pushing) == (["room_1"], {"room_2"})
    assert [(entry["service"], entry["outcome"]) for entry in simulator.log] == [("live", "ok")]


@a_drop
async def test_a_stream_that_is_not_live_is_fine_also_twice(live: Streams, simulator: Any) -> None:
    for _ in range(2):
        await live.drop("room_1")
    assert simulator.live.dropped == ["room_1", "room_1"]


@a_drop
async def test_many_at_once_do_not_get_in_each_others_way(live: Streams, simulator: Any) -> None:
    names = [f"room_{number}" for number in range(20)]
    await asyncio.gather(*(live.drop(name) for name in names))
    assert sorted(simulator.live.dropped) == sorted(names)


@a_drop
async def test_a_drop_says_what_the_documents_ask_for_and_signs_the_root(scripted: Any) -> None:
    streams, service = scripted(FINE)
    await streams.drop("room_1")
    (heard,) = service.heard
    assert (heard.method, heard.path) == ("POST", "/")  # below the prefix that it was given
    assert json.loads(heard.body) == {
        "StreamName": "room_1",
        "DomainName": "push.example.com",
        "AppName": "live",
    }
    assert heard.header("X-TC-Action") == "DropLiveStream"
    assert heard.header("X-TC-Version") == "2018-08-01"
    names, stamp = ["content-type", "host"], int(heard.header("X-TC-Timestamp"))
    made = signature("SECRETTEST", "live", stamp, names, heard)
    assert heard.header("Authorization").endswith(made)


@a_drop
async def test_a_key_that_is_not_known_may_be_mended(sim_url: str, simulator: Any) -> None:
    streams = Streams(f"{sim_url}/live", "AKIDOTHER", "SECRETTEST", "push.example.com")
    with pytest.raises(ServiceAway):
        await streams.drop("room_1")
    assert simulator.live.dropped == []
    assert simulator.log[-1]["outcome"] == "AuthFailure.SecretIdNotFound"


@a_drop
async def test_a_clock_of_ours_that_is_wrong_may_be_right_later(
    live: Streams, clock: Any, simulator: Any
) -> None:
    simulator.live._now = lambda: clock() + 3600
    with pytest.raises(ServiceAway):
        await live.drop("room_1")


@pytest.mark.parametrize("code", sorted(NOT_LIVE))
@a_drop
async def test_a_stream_that_tencent_does_not_know_is_fine(scripted: Any, code: str) -> None:
    streams, service = scripted(failed(code))
    await streams.drop("room_1")
    assert len(service.heard) == 1


@pytest.mark.parametrize("code", [*FOR_EVER, "InvalidParameter.InvalidStreamName"])
@a_drop
async def test_what_would_be_said_again_is_refused(scripted: Any, code: str) -> None:
    streams, service = scripted(failed(code))
    with pytest.raises(LiveRefused) as refused:
        await streams.drop("room_1")
    assert (refused.value.code, str(refused.value)) == (code, f"{code} info {code}")
    assert len(service.heard) == 1


BAD_DAYS = [
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


@pytest.mark.parametrize("answer", BAD_DAYS)
@a_drop
async def test_what_may_be_better_later_is_away(scripted: Any, answer: Any) -> None:
    streams, _ = scripted(answer)
    with pytest.raises(ServiceAway) as away:
        await streams.drop("room_1")
    assert away.value.code == "live_away"


@pytest.mark.parametrize("status", [302, 404, 500, 503])
@a_drop
async def test_a_status_that_is_not_200_is_away(live: Streams, simulator: Any, status: int) -> None:
    simulator.outage["live"] = status
    with pytest.raises(ServiceAway):
        await live.drop("room_1")
    assert len(simulator.log) == 1  # and nothing is followed or repeated
    simulator.outage.clear()
    await live.drop("room_1")


@a_drop
async def test_a_service_that_nobody_serves_is_away() -> None:
    streams = Streams("http://127.0.0.1:9", "AKIDTEST", "SECRETTEST", "push.example.com")
    with pytest.raises(ServiceAway):
        await streams.drop("room_1")


@a_drop
async def test_nothing_signed_is_sent_elsewhere(scripted: Any, serve: Any, script: Any) -> None:
    elsewhere = script(FINE)
    location = {"Location": serve(elsewhere), "Content-Type": "application/json"}
    streams, _ = scripted(SimReply(307, location, b"{}"))
    with pytest.raises(ServiceAway):
        await streams.drop("room_1")
    assert elsewhere.heard == []


@a_drop
async def test_a_service_that_says_nothing_is_away_and_its_thread_ends(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tencent.streams.SECONDS", 0.2)

    async def silent(_request: Any) -> Any:
        await asyncio.Event().wait()

    streams = Streams(serve(silent), "AKIDTEST", "SECRETTEST", "push.example.com")
    with capture_logs() as logs, pytest.raises(ServiceAway):
        await streams.drop("room_1")
    # The SDK's word for it: the thread heard of it by itself.
    assert [entry["error_code"] for entry in logs] == ["ClientNetworkError"]


@a_drop
async def test_a_service_that_never_comes_to_an_end_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tencent.streams.SECONDS", 0.2)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    over, ended = asyncio.Event(), asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not over.is_set():
            writer.write(b" ")
            await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        streams = Streams(f"http://127.0.0.1:{port}", "AKIDTEST", "SECRETTEST", "push.example.com")
        with capture_logs() as logs, pytest.raises(ServiceAway):
            await streams.drop("room_1")
        over.set()
        await ended.wait()
    assert [entry.get("why") for entry in logs] == ["timeout"]


@a_drop
async def test_the_environments_proxies_and_passwords_are_not_read(
    live: Streams, simulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await live.drop("room_1")
    assert simulator.live.dropped == ["room_1"]


@a_drop
async def test_no_secret_is_logged_at_any_level(
    live: Streams, simulator: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        await live.drop("room_1")
        simulator.live._secret_key = "OTHER"
        with pytest.raises(ServiceAway):
            await live.drop("room_1")
    written = caplog.text + json.dumps(logs)
    assert "AuthFailure.SignatureFailure" in written
    for secret in ("AKIDTEST", "SECRETTEST", "Signature=", "TC3-HMAC"):
        assert secret not in written
    assert "SECRETTEST" not in repr(live)
