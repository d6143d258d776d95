"""Spans of one process, and the trace context that goes with calls and messages.

Imported only when `traces.endpoint` is set: the packages cost a start 0.1 s and memory.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import Context as ContextVariables

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core.errors import QLiveError
from telemetry.span_export import RandomShare, RequestIds, collector_exporter

Values = Mapping[str, str | int | float | bool]
QUEUE_SPANS, BATCH_SPANS, BATCH_MS = 2048, 512, 1000
"""Spans that wait for the collector, beyond which the oldest are dropped; spans sent at once, and
how often."""
CLOSE_SECONDS = 2.0
_PROPAGATOR = TraceContextTextMapPropagator()
_NO_CONTEXT = Context()


class Traces:
    """Starts spans and sends sampled ones in a thread of its own; nothing waits for the collector.

    The current span is a context variable: tasks inherit it. A span without a sampled parent costs
    one look at it and is not recorded; only requests, joins of sockets, deliveries of the outbox,
    rounds of the relay and calls to other services begin a trace.
    """

    def __init__(self, exporter: SpanExporter, share: float, process_id: str) -> None:
        """`share` of the traces that begin here are sampled; those of a caller as it says."""
        self._ids = RequestIds()
        self._provider = TracerProvider(
            sampler=ParentBased(RandomShare(share)),
            resource=Resource({"service.name": "qlive", "service.instance.id": process_id}),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUE_SPANS,
                schedule_delay_millis=BATCH_MS,
                max_export_batch_size=BATCH_SPANS,
            )
        )
        self._tracer = self._provider.get_tracer("qlive")

    def start_call(
        self,
        headers: Mapping[str, str],
        request_id: str,
        name: str = "request",
        attributes: Values | None = None,
    ) -> Span:
        """The span of a received request, not yet the current one.

        It continues the trace of `traceparent`; otherwise `request_id` is the trace id if it has
        the form of one (32 hexadecimal digits).
        """
        parent = _PROPAGATOR.extract(headers, _NO_CONTEXT)
        with self._ids.wanting(request_id):
            return self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)

    @contextmanager
    def received(
        self, name: str, headers: Mapping[str, str], request_id: str, attributes: Values
    ) -> Iterator[Span]:
        """As `start_call`, within which it is the current one."""
        with self._current(self.start_call(headers, request_id, name, attributes)) as span:
            yield span

    @contextmanager
    def job(self, name: str, attributes: Values) -> Iterator[Span]:
        """A span of background work, which begins a trace."""
        span = self._tracer.start_span(name, _NO_CONTEXT, SpanKind.CONSUMER, attributes)
        with self._current(span):
            yield span

    @contextmanager
    def outgoing(self, name: str) -> Iterator[dict[str, str]]:
        """A span around a call of another service; yields the headers that continue the trace."""
        with self._current(self._tracer.start_span(name, None, SpanKind.CLIENT)):
            headers: dict[str, str] = {}
            _PROPAGATOR.inject(headers)
            yield headers

    @contextmanager
    def span(
        self, name: str, attributes: Values | None = None, parent: Span | None = None
    ) -> Iterator[Span]:
        """A span below `parent` or the current one, within which it is the current one."""
        parent = parent or get_current_span()
        if not _is_sampled(parent):
            yield INVALID_SPAN
            return
        below = set_span_in_context(parent, _NO_CONTEXT)
        with self._current(self._tracer.start_span(name, below, attributes=attributes)) as span:
            yield span

    @contextmanager
    def joint(self, name: str, parents: Sequence[Span]) -> Iterator[Span]:
        """A span of work for several traces: in the first sampled one, linked with the others."""
        first, *others = [span for span in parents if _is_sampled(span)] or [INVALID_SPAN]
        with self.span(name, parent=first) as span:
            for other in others:
                span.add_link(other.get_span_context())
                other.add_link(span.get_span_context())
            yield span

    def joint_of(
        self, name: str, contexts: Sequence[ContextVariables]
    ) -> AbstractContextManager[Span]:
        """As `joint`, for the spans that are the current ones of these contexts."""
        return self.joint(name, [context.copy().run(get_current_span) for context in contexts])

    def start_command(self, name: str, attributes: Values) -> Span | None:
        """A span below the current one that the caller ends; None if that is not sampled."""
        if not _is_sampled(get_current_span()):
            return None
        return self._tracer.start_span(name, None, SpanKind.CLIENT, attributes)

    def start_received(self, name: str, traceparent: str, attributes: Values) -> Span:
        """A span below one of another process, which the caller ends."""
        below = _PROPAGATOR.extract({"traceparent": traceparent}, _NO_CONTEXT)
        if not _is_sampled(get_current_span(below)):  # or malformed
            return INVALID_SPAN
        return self._tracer.start_span(name, below, SpanKind.CONSUMER, attributes)

    def traceparent(self) -> str:
        """The current span for another process to continue; "" if it is not sampled."""
        carrier: dict[str, str] = {}
        if _is_sampled(get_current_span()):
            _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent", "")

    async def close(self) -> None:
        """Send what is queued, for at most CLOSE_SECONDS."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(closed.set)

        threading.Thread(target=shut_down, daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(closed.wait(), CLOSE_SECONDS)

    @contextmanager
    def _current(self, span: Span) -> Iterator[Span]:
        token = attach(set_span_in_context(span))
        try:
            yield span
        except QLiveError as refusal:
            span.set_attribute("qlive.error", refusal.code)
            raise
        except Exception as error:
            # Its type only: the text may have ids or data of users.
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            detach(token)
            span.end()


def _is_sampled(span: Span) -> bool:
    return span.get_span_context().trace_flags.sampled


def open_traces(endpoint: str, share: float, process_id: str) -> Traces:
    """Traces of this process, sent to the collector at `endpoint`."""
    return Traces(collector_exporter(endpoint), share, process_id)
