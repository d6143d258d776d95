"""A span for each MongoDB command that belongs to a sampled trace.

The instrumentation of OpenTelemetry works with AsyncMongoClient as well, but begins a trace for
each command of a background job, and stores error messages, which have values of documents.
"""

from contextvars import ContextVar

from opentelemetry.trace import Span, Status, StatusCode
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from telemetry.traces import Traces

_open: ContextVar[Span | None] = ContextVar("command_span", default=None)
"""Of the command that the task waits for."""


class CommandSpans(CommandListener):
    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def started(self, event: CommandStartedEvent) -> None:
        collection = event.command.get(event.command_name)
        span = self._traces.start_command(
            f"mongodb.{event.command_name}",
            {
                "db.system.name": "mongodb",
                "db.collection.name": collection if isinstance(collection, str) else "",
            },
        )
        if span or _open.get():
            _open.set(span)

    def succeeded(self, event: CommandSucceededEvent) -> None:  # noqa: ARG002 - PyMongo's interface
        if span := _open.get():
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        if span := _open.get():
            span.set_status(Status(StatusCode.ERROR, str(event.failure.get("codeName", ""))))
            span.end()
