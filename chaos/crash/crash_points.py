"""Instruments a server: marks where paths begin and end, and records their calls.

A path begins with the request that has the header MARK, and ends with its response. The paths that
begin in a periodic job are marked in marked_sweeps.py.
"""

from contextvars import Context as Contextvars
from typing import Any

from chaos.crash.call_recorder import ON_PATH, CallRecorder
from chaos.crash.exit_plans import MARK
from chaos.crash.marked_sweeps import INTERVALS, SWEEPS, mark_bills, mark_sweep, set_interval
from core import batching
from handlers.base import Handler
from runtime import container
from storage.database import CommandLatency
from tencent.service_client import ServiceClient


def install(recorder: CallRecorder) -> None:
    """Patch this process; call before its server is built."""
    _record_commands(recorder)
    _follow_into_batches()
    _record_requests(recorder)
    _mark_requests(recorder)
    path = recorder.plan.path
    if path == "withdrawal":
        set_interval(INTERVALS["fast_sweeps"])
    elif path == "bills":
        mark_bills(recorder)
    elif path in SWEEPS:
        mark_sweep(recorder, SWEEPS[path])
    elif path in INTERVALS:
        set_interval(INTERVALS[path])


def _record_commands(recorder: CallRecorder) -> None:
    class RecordedCommands(CommandLatency):
        def started(self, event: Any) -> None:
            recorder.begin(event.request_id, _command_name(event))

        def succeeded(self, event: Any) -> None:
            recorder.end(event.request_id)
            super().succeeded(event)

        def failed(self, event: Any) -> None:
            recorder.end(event.request_id)
            super().failed(event)

    module: Any = container
    module.CommandLatency = RecordedCommands


def _command_name(event: Any) -> str:
    """For example `update rooms`; in a transaction `update rooms *`."""
    name, command = event.command_name, event.command
    words = [name, command[name], "*" if "autocommit" in command else ""]
    return " ".join(word for word in words if word and isinstance(word, str))


def _follow_into_batches() -> None:
    """RequestBatcher serves a batch in an empty context: keep ON_PATH of its first request."""

    def context() -> Contextvars:
        on_path, empty = ON_PATH.get(), Contextvars()
        empty.run(ON_PATH.set, on_path)
        return empty

    module: Any = batching
    module.Context = context


def _record_requests(recorder: CallRecorder) -> None:
    client: Any = ServiceClient
    original = client.request

    async def recorded(self: ServiceClient, method: str, *args: Any, **kwargs: Any) -> Any:
        key = object()
        recorder.begin(key, f"{method.lower()} {self.name}")
        try:
            return await original(self, method, *args, **kwargs)
        finally:
            recorder.end(key)

    client.request = recorded


def _mark_requests(recorder: CallRecorder) -> None:
    handler: Any = Handler
    prepare, finish = handler.prepare, handler.finish

    def marked(self: Any) -> None:
        ON_PATH.set(MARK in self.request.headers)
        prepare(self)

    def recorded(self: Any, chunk: Any = None) -> Any:
        recorder.begin(self, "response")
        sent = finish(self, chunk)
        recorder.end(self)
        recorder.finish()
        return sent

    handler.prepare, handler.finish = marked, recorded
