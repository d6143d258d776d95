"""A collector of traces: takes OTLP over HTTP and keeps the spans."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """Ids are in hex; `parent` is "" for the first span of a trace."""

    name: str
    trace: str
    id: str
    parent: str
    process: str
    links: tuple[tuple[str, str], ...]
    """(trace, span) of each."""
    fields: dict[str, Any]
    failed: bool
    nanoseconds: tuple[int, int]


@dataclass(slots=True)
class Collector:
    url: str
    status: int = 200
    """Of the answers."""
    requests: int = 0
    spans: list[ReceivedSpan] = field(default_factory=list)

    def named(self, name: str, trace: str = "") -> list[ReceivedSpan]:
        return [it for it in self.spans if it.name == name and trace in ("", it.trace)]

    def parent_of(self, span: ReceivedSpan) -> ReceivedSpan | None:
        return next((it for it in self.spans if it.id == span.parent), None)

    def path_to(self, span: ReceivedSpan) -> list[str]:
        """Names from the first span of the trace to this one."""
        above = self.parent_of(span)
        return [*(self.path_to(above) if above else []), span.name]


class _TracesHandler(RequestHandler):
    def initialize(self, collector: Collector) -> None:
        self.collector = collector

    def post(self) -> None:
        self.collector.requests += 1
        self.set_status(self.collector.status)
        if self.collector.status == 200:
            self.collector.spans += decoded(self.request.body)


def decoded(body: bytes) -> Iterator[ReceivedSpan]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {it.key: it.value.string_value for it in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    process=about["service.instance.id"],
                    links=tuple((it.trace_id.hex(), it.span_id.hex()) for it in span.links),
                    fields={it.key: _value(it.value) for it in span.attributes},
                    failed=span.status.code == 2,
                    nanoseconds=(span.start_time_unix_nano, span.end_time_unix_nano),
                )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@pytest.fixture
def collector(io_loop: IOLoop) -> Iterator[Collector]:
    socket, port = bind_unused_port()
    collector = Collector(f"http://127.0.0.1:{port}/v1/traces")
    server = HTTPServer(Application([("/v1/traces", _TracesHandler, {"collector": collector})]))
    server.add_socket(socket)
    yield collector
    server.stop()
    io_loop.run_sync(server.close_all_connections)
