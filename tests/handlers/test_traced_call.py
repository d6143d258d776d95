"""Requests to a server whose traces are on."""

from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.support.api import BASE, ApiFixture
from tests.support.collector import Collector
from tests.support.waiting import until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
async_test = pytest.mark.gen_test(timeout=30)


@pytest.fixture
def changes(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("telemetry.traces.BATCH_MS", 20)
    return {"traces": {"endpoint": collector.url, "sample": 1}}


@pytest.mark.parametrize(
    ("headers", "request_id", "trace"),
    [
        ({}, None, None),
        ({"X-Request-Id": "f" * 32}, "f" * 32, "f" * 32),
        ({"X-Request-Id": "mine"}, "mine", None),
        ({"traceparent": TRACEPARENT}, TRACE, TRACE),
        ({"traceparent": TRACEPARENT, "X-Request-Id": "mine"}, "mine", TRACE),
    ],
)
@async_test
async def test_the_request_id_is_the_trace_id_unless_the_client_sent_another(
    api: ApiFixture,
    collector: Collector,
    headers: dict[str, str],
    request_id: str | None,
    trace: str | None,
) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        reply = await api.request("GET", f"{BASE}get_livelist/", headers=headers)
    [call] = await until(lambda: collector.named("GetLivelist"))
    assert reply.headers["X-Request-Id"] == call.fields["qlive.request_id"]
    assert reply.headers["X-Request-Id"] == (request_id or call.trace)
    assert call.trace == (trace or call.trace)
    assert (call.fields["http.response.status_code"], call.failed) == (401, False)
    [line] = [it for it in lines if it["event"] == "request_completed"]
    assert line["request_id"] == reply.headers["X-Request-Id"]
    assert line.get("trace_id", line["request_id"]) == call.trace


@async_test
async def test_a_login_is_one_trace_with_its_request_to_the_simulated_wechat(
    api: ApiFixture, collector: Collector
) -> None:
    await api.user("anna", 2)
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
    [call] = await until(lambda: [it for it in collector.spans if it.failed])
    assert call.fields["http.response.status_code"] == 500
