"""Requests to a server whose traces are on."""

from typing import Any

import pytest
import websockets
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from runtime.process import ServerProcess
from tests.support.api import BASE, ApiFixture
from tests.support.chat import until_delivered
from tests.support.collector import Collector, ReceivedSpan
from tests.support.waiting import until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
async_test = pytest.mark.gen_test(timeout=30)


@pytest.fixture
def changes(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("telemetry.traces.BATCH_MS", 20)
    return {"traces": {"endpoint": collector.url, "sample": 1}}


async def next_named(collector: Collector, name: str) -> ReceivedSpan:
    """The only span of this name since the last call."""
    [span] = await until(lambda: collector.named(name))
    collector.spans.remove(span)
    return span


@async_test
async def test_the_request_id_is_the_trace_id_unless_the_client_sent_another(
    api: ApiFixture, collector: Collector
) -> None:
    for headers, request_id, trace in (
        ({}, None, None),
        ({"X-Request-Id": "f" * 32}, "f" * 32, "f" * 32),
        ({"X-Request-Id": "mine"}, "mine", None),
        ({"traceparent": TRACEPARENT}, TRACE, TRACE),
        ({"traceparent": TRACEPARENT, "X-Request-Id": "mine"}, "mine", TRACE),
    ):
        with capture_logs(processors=[merge_contextvars]) as lines:
            reply = await api.request("GET", f"{BASE}get_livelist/", headers=headers)
        call = await next_named(collector, "GetLivelist")
        assert reply.headers["X-Request-Id"] == call.fields["qlive.request_id"], headers
        assert reply.headers["X-Request-Id"] == (request_id or call.trace), headers
        assert call.trace == (trace or call.trace), headers
        assert (call.fields["http.response.status_code"], call.failed) == (401, False), headers
        [line] = [it for it in lines if it["event"] == "request_completed"]
        assert line["request_id"] == reply.headers["X-Request-Id"], headers
        assert line.get("trace_id", line["request_id"]) == call.trace, headers


@async_test
async def test_a_login_is_one_trace_with_its_request_to_the_simulated_wechat(
    http_api: ApiFixture, collector: Collector
) -> None:
    await http_api.user("anna", 2)
    [call] = await until(lambda: collector.named("CreateUser"))
    [asked] = collector.named("tencent.wechat", call.trace)
    answered = [it for it in collector.spans if it.parent == asked.id]
    assert [it.fields["url.path"] for it in answered] == ["/sim/sns/jscode2session"]
    assert collector.path_to(asked) == ["CreateUser", "tencent.wechat"]
    assert collector.named("mongodb.insert", call.trace) or collector.named(
        "mongodb.findAndModify", call.trace
    )


@async_test
async def test_a_bug_is_a_failed_span(api: ApiFixture, collector: Collector, db: Any) -> None:
    anna = await api.user("anna", 2)
    db.users.update_one({"_id": anna.id}, {"$unset": {"create_time": 1}})
    assert (await anna.get("get_configs/")).status == 500
    [call] = await until(lambda: [it for it in collector.named("GetConfigs") if it.failed])
    assert call.fields["http.response.status_code"] == 500


# ---- sockets


async def join_traced(api: ApiFixture, live_id: int, token: str, **headers: str) -> None:
    """Opens a socket, and reads its first frame."""
    address = api.address.replace("http", "ws", 1)
    given = {"Authorization": f"QLiveToken {token}", **headers}
    uri = f"{address}{BASE}ws/?live_id={live_id}"
    async with websockets.connect(uri, additional_headers=given, compression=None) as socket:
        await socket.recv()


@async_test
async def test_a_join_is_a_span_with_its_commands_in_the_trace_of_the_client(
    api: ApiFixture, collector: Collector
) -> None:
    host = await api.host()
    for headers, trace in (
        ({}, None),
        ({"X-Request-Id": "f" * 32}, "f" * 32),
        ({"traceparent": TRACEPARENT, "X-Request-Id": "mine"}, TRACE),
    ):
        with capture_logs(processors=[merge_contextvars]) as lines:
            await join_traced(api, host.live_id, host.token, **headers)
        join = await next_named(collector, "socket.join")
        assert join.trace == (trace or join.trace), headers
        assert join.parent == (CALLER if "traceparent" in headers else ""), headers
        about = (join.fields["qlive.live_id"], join.fields["qlive.resumes"], join.failed)
        assert about == (host.live_id, False, False), headers
        below = [it for it in collector.spans if it.parent == join.id]
        assert "mongodb.find" in {it.name for it in below}, headers
        [line] = [it for it in lines if it["event"] == "socket_joined"]
        assert line["request_id"] == headers.get("X-Request-Id", join.trace), headers
        assert line.get("trace_id", line["request_id"]) == join.trace, headers


@async_test
async def test_a_refused_join_names_the_error(api: ApiFixture, collector: Collector) -> None:
    host, stranger = await api.host(), await api.user("stranger", 1)
    await join_traced(api, host.live_id, stranger.token)
    [join] = await until(lambda: collector.named("socket.join"))
    assert join.fields["qlive.error"] == "not_in_room"


# ---- outbox


@async_test
async def test_a_delivery_of_the_outbox_is_a_trace_with_its_request_to_tencent(
    http_api: ApiFixture, server: ServerProcess, collector: Collector
) -> None:
    anna = await http_api.user("anna", 2)
    await until_delivered(server)
    [delivery] = await until(
        lambda: [
            it
            for it in collector.named("outbox.deliver")
            if it.fields["qlive.kind"] == "account_import"
        ]
    )
    assert delivery.parent == ""
    assert delivery.fields["qlive.tries"] == 1
    [sent] = collector.named("tencent.im", delivery.trace)
    assert collector.path_to(sent) == ["outbox.deliver", "tencent.im"]
    assert anna.id not in str(delivery.fields)


# ---- relay


@async_test
async def test_a_round_of_the_relay_is_a_trace_with_its_requests_to_tencent(
    api: ApiFixture, collector: Collector
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await bert.post("qlive_room/apply_micro/", live_id=host.live_id)

    def rounds() -> list[ReceivedSpan]:
        """Those that sent something."""
        sent = {it.trace for it in collector.named("tencent.im")}
        return [it for it in collector.named("im.relay") if it.trace in sent]

    relayed = (await until(rounds))[0]
    assert relayed.parent == ""
    assert (relayed.fields["qlive.live_id"], relayed.fields["qlive.tries"]) == (host.live_id, 0)
    sent = collector.named("tencent.im", relayed.trace)[0]
    assert collector.path_to(sent) == ["im.relay", "tencent.im"]
    assert collector.named("mongodb.find", relayed.trace)
    assert bert.id not in str(relayed.fields)
