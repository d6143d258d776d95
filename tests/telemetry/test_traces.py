import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span
from structlog.testing import capture_logs

from core.errors import NotFound
from telemetry import traces as module
from telemetry.span_export import collector_exporter
from telemetry.traces import Traces
from tests.support.collector import Collector
from tests.support.waiting import until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
async_test = pytest.mark.gen_test(timeout=30)


class StuckExporter(InMemorySpanExporter):
    """Takes the first batch, and returns when it may `resume`."""

    def __init__(self) -> None:
        super().__init__()
        self.resume = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.resume.wait()
        return super().export(spans)


@pytest.fixture(autouse=True)
def restored_level() -> Iterator[None]:
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    yield
    logger.setLevel(level)


@async_test
async def test_a_request_continues_the_trace_of_its_caller_or_begins_one_with_its_request_id() -> (
    None
):
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, 1, "p")
    given = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    for headers, request_id in ((given, "f" * 32), ({}, "f" * 32), ({}, "0" * 32), ({}, "short")):
        traces.start_call(headers, request_id).end()
    await traces.close()
    continued, named, *others = exporter.get_finished_spans()
    assert continued.parent is not None
    assert f"{continued.parent.span_id:016x}" == CALLER
    assert [f"{it.context.trace_id:032x}" for it in (continued, named)] == [TRACE, "f" * 32]
    assert all(f"{it.context.trace_id:032x}" not in (TRACE, "f" * 32, "0" * 32) for it in others)


@async_test
@pytest.mark.parametrize("header", ["", "00-1-1-01", f"00-{'0' * 32}-{CALLER}-01", "ü" * 600])
async def test_a_malformed_traceparent_is_ignored(header: str) -> None:
    traces = Traces(InMemorySpanExporter(), 1, "p")
    assert traces.start_call({"traceparent": header}, "f" * 32).get_span_context().trace_id == int(
        "f" * 32, 16
    )
    assert not traces.start_received("event.fanout", header, {}).is_recording()
    await traces.close()


@async_test
async def test_the_caller_decides_whether_its_trace_is_sampled_and_the_share_about_the_others() -> (
    None
):
    never, always = Traces(InMemorySpanExporter(), 0, "p"), Traces(InMemorySpanExporter(), 1, "p")
    wanted, unwanted = ({"traceparent": f"00-{TRACE}-{CALLER}-0{flag}"} for flag in (1, 0))
    assert never.start_call(wanted, "").is_recording()
    assert not always.start_call(unwanted, "").is_recording()
    assert not never.start_call({}, "").is_recording()
    assert always.start_call({}, "").is_recording()
    await asyncio.gather(never.close(), always.close())


@async_test
async def test_a_refusal_is_no_failed_span_and_an_error_shows_its_type_only() -> None:
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, 1, "p")
    for error in (NotFound("anna"), KeyError("anna")):
        with pytest.raises(type(error)), traces.outgoing("call"):
            raise error
    await traces.close()
    refused, failed = exporter.get_finished_spans()
    assert refused.status.is_ok
    assert (failed.status.is_ok, failed.status.description) == (False, "KeyError")
    assert "anna" not in failed.to_json() + refused.to_json()


@async_test
async def test_without_a_sampled_parent_there_are_no_spans_and_nothing_for_another_process() -> (
    None
):
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, 0, "p")
    with traces.outgoing("call") as headers, traces.span("inner"), traces.joint("both", []):
        assert headers["traceparent"].endswith("-00")
        assert traces.start_command("mongodb.find", {}) is None
        assert traces.traceparent() == ""
    assert not get_current_span().get_span_context().is_valid
    await traces.close()
    assert exporter.get_finished_spans() == ()


@async_test
async def test_spans_reach_a_collector_when_traces_are_closed(collector: Collector) -> None:
    traces = Traces(collector_exporter(collector.url), 1, "p1")
    with traces.outgoing("call"):
        pass
    await traces.close()
    assert [(it.name, it.process) for it in collector.spans] == [("call", "p1")]


@async_test
async def test_an_outage_of_the_collector_is_two_log_lines_and_delays_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_MS", 10)
    collector.status = 400
    traces = Traces(collector_exporter(collector.url), 1, "p")
    with capture_logs() as lines:
        for expected in (1, 2, 3):
            with traces.outgoing("lost"):
                pass
            await until(lambda: collector.requests == expected)  # noqa: B023
        collector.status = 200
        with traces.outgoing("sent"):
            pass
        await until(lambda: collector.spans)
        await until(lambda: len(lines) == 2)
    await traces.close()
    assert [(it["event"], it.get("lost")) for it in lines] == [
        ("traces_export_failed", None),
        ("traces_export_resumed", 3),
    ]


@async_test
async def test_spans_that_the_collector_does_not_take_are_dropped_beyond_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "QUEUE_SPANS", 20)
    monkeypatch.setattr(module, "BATCH_SPANS", 10)
    exporter = StuckExporter()
    traces = Traces(exporter, 1, "p")
    for _ in range(100):
        with traces.outgoing("call"):
            pass
    exporter.resume.set()
    await traces.close()
    assert len(exporter.get_finished_spans()) <= 30
