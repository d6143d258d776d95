"""Instruments a server: marks where paths begin and end, records their calls, and ends the process.

A path begins with the request that has the header MARK, and ends with its response. The paths that
begin in a periodic job are marked in marked_sweeps.py.
"""

import signal
import time
from collections.abc import Callable
from contextvars import Context as Contextvars
from contextvars import ContextVar
from typing import Any

from pymongo import monitoring

from chaos.crash.exit_plans import MARK, Call, ExitMoment, ExitPlan, ExitReport
from core import batching
from handlers.base import Handler
from services.webhooks import webhooks
from tencent.service_client import ServiceClient

ON_PATH: ContextVar[bool] = ContextVar("on_path", default=False)
"""Tasks and callbacks inherit it from their creator, so it follows the path."""
MIN_DELAY = 1e-6
"""Seconds; zero would disable the timer."""


class CallRecorder:
    """Records the calls of a path, and ends the process at the step of its exit plan."""

    def __init__(self, plan: ExitPlan, exit_process: Callable[[ExitReport], None]) -> None:
        """`exit_process` is called with the report and does not return."""
        self.plan = plan
        self.calls: list[Call] = []
        self._exit_process = exit_process
        self._in_flight: dict[object, tuple[int, float]] = {}

    def begin(self, key: object, name: str) -> None:
        """Record the start of a call, identified by `key` until its end; ignored off the path."""
        if not ON_PATH.get():
            return
        number = len(self.calls)
        self.calls.append(Call(name))
        if number == self.plan.number and self.plan.moment == "before":
            self._exit("before")
        self._in_flight[key] = number, time.perf_counter()
        if number == self.plan.number and self.plan.moment == "during":
            # SIGALRM interrupts the event loop; a thread would wait for the GIL.
            signal.signal(signal.SIGALRM, lambda _number, _frame: self._exit("during"))
            signal.setitimer(signal.ITIMER_REAL, max(self.plan.delay, MIN_DELAY))

    def end(self, key: object) -> None:
        """Record the end of a call, successful or not."""
        if key not in self._in_flight:
            return
        number, started = self._in_flight.pop(key)
        self.calls[number] = Call(self.calls[number].name, time.perf_counter() - started)
        if number == self.plan.number and self.plan.moment == "after":
            self._exit("after")

    def finish(self) -> None:
        """Exit now: the path has ended, and the step cannot come any more."""
        if not ON_PATH.get():
            return
        time.sleep(self.plan.delay)  # the alarm may still be pending
        self._exit("end")

    def _exit(self, at: ExitMoment) -> None:
        number = self.plan.number
        in_flight = any(number == other for other, _ in self._in_flight.values())
        self._exit_process(ExitReport(at, number, in_flight, tuple(self.calls)))


class RecordedCommands(monitoring.CommandListener):
    """Records the commands to MongoDB."""

    def __init__(self, recorder: CallRecorder) -> None:
        self._recorder = recorder

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """For example `update rooms`; in a transaction `update rooms *`."""
        name, command = event.command_name, event.command
        words = [name, command[name], "*" if "autocommit" in command else ""]
        text = " ".join(word for word in words if word and isinstance(word, str))
        self._recorder.begin(event.request_id, text)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._recorder.end(event.request_id)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._recorder.end(event.request_id)


def install(recorder: CallRecorder) -> None:
    """Patch this process; call before its server is built."""
    monitoring.register(RecordedCommands(recorder))
    _follow_into_batches()
    _record_requests(recorder)
    _record_webhooks(recorder)
    _mark_requests(recorder)


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


def _record_webhooks(recorder: CallRecorder) -> None:
    module: Any = webhooks
    original = module.post

    async def recorded(*args: Any, **kwargs: Any) -> Any:
        key = object()
        recorder.begin(key, "post webhook")
        try:
            return await original(*args, **kwargs)
        finally:
            recorder.end(key)

    module.post = recorded


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
