"""Connects the spans of a process; imported only when `traces.endpoint` is set."""

import functools

from opentelemetry.trace import Span

from handlers.traced_call import TracedCall
from realtime.bus import EventPublished
from runtime.tracing_hooks import TracingHooks
from services.traced_rooms import TracedKeeper
from storage.command_spans import CommandSpans
from telemetry.traces import Traces, open_traces


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
    )


def _start_fanout(traces: Traces, message: EventPublished, sockets: int) -> Span:
    fields = {"qlive.live_id": message.live_id, "qlive.seq": message.seq, "qlive.sockets": sockets}
    return traces.start_received("event.fanout", message.traceparent, fields)
