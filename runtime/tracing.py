"""Connects the spans of a process; imported only when `traces.endpoint` is set."""

import functools
from contextlib import AbstractContextManager

from opentelemetry.trace import Span

from handlers.traced_call import TracedCall, traced_join
from realtime.bus import EventPublished
from runtime.tracing_hooks import TracingHooks
from services.traced_rooms import TracedKeeper
from storage.command_spans import CommandSpans
from storage.outbox import OutboxMessage
from storage.relay_cursors import RelayClaim
from telemetry.traces import Traces, Values, open_traces


def hooks(endpoint: str, share: float, process_id: str) -> TracingHooks:
    """`share` of the traces that begin here are sent to `endpoint`."""
    traces = open_traces(endpoint, share, process_id)
    return TracingHooks(
        traces=traces,
        start_call=functools.partial(TracedCall, traces),
        listeners=[CommandSpans(traces)],
        joint_span=traces.joint_of,
        keeper=functools.partial(TracedKeeper, traces=traces),
        traceparent=traces.traceparent,
        start_fanout=functools.partial(_start_fanout, traces),
        outgoing=traces.outgoing,
        join_span=functools.partial(traced_join, traces),
        delivery_span=functools.partial(_delivery_span, traces),
        relay_span=functools.partial(_relay_span, traces),
    )


def _start_fanout(traces: Traces, message: EventPublished, sockets: int) -> Span:
    fields = {"qlive.live_id": message.live_id, "qlive.seq": message.seq, "qlive.sockets": sockets}
    return traces.start_received("event.fanout", message.traceparent, fields)


def _delivery_span(traces: Traces, message: OutboxMessage) -> AbstractContextManager[object]:
    fields: Values = {
        "qlive.kind": message.kind,
        "qlive.message": message.id,
        "qlive.tries": message.tries,
    }
    return traces.job("outbox.deliver", fields)


def _relay_span(traces: Traces, claim: RelayClaim) -> AbstractContextManager[object]:
    fields: Values = {
        "qlive.live_id": claim.live_id,
        "qlive.seq": claim.seq,
        "qlive.tries": claim.tries,
    }
    return traces.job("im.relay", fields)
