"""The spans of one HTTP request, and of the join of one socket."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry.context import attach
from opentelemetry.trace import Status, StatusCode, format_trace_id, set_span_in_context
from tornado.httputil import HTTPServerRequest

from handlers.remote import client_request_id
from handlers.websocket.connection import ConnectRequest
from telemetry.traces import Traces


class TracedCall:
    """Imported only when traces are on."""

    def __init__(self, traces: Traces, request: HTTPServerRequest) -> None:
        self._span = traces.start_call(request.headers, client_request_id(request))
        self._request = request
        self.trace_id = format_trace_id(self._span.get_span_context().trace_id)

    def begin(self, label: str, request_id: str) -> None:
        """Make it the current span of this task, which ends with the request."""
        attach(set_span_in_context(self._span))
        if self.trace_id != request_id:
            structlog.contextvars.bind_contextvars(trace_id=self.trace_id)
        if not self._span.is_recording():
            return
        self._span.update_name(label)
        self._span.set_attributes(
            {
                "http.request.method": self._request.method or "",
                "http.route": label,
                "url.path": self._request.path,
                "qlive.request_id": request_id,
            }
        )

    def end(self, status: int) -> None:
        if self._span.is_recording():
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


@contextmanager
def traced_join(traces: Traces, request: ConnectRequest) -> Iterator[None]:
    """The span of a join, the current one of its task."""
    fields = {"qlive.live_id": request.live_id, "qlive.resumes": request.since is not None}
    headers = {"traceparent": request.traceparent}
    with traces.received("socket.join", headers, request.request_id, fields) as span:
        trace_id = format_trace_id(span.get_span_context().trace_id)
        if trace_id != request.request_id:
            structlog.contextvars.bind_contextvars(trace_id=trace_id)
            if span.is_recording():
                span.set_attribute("qlive.request_id", request.request_id)
        yield
