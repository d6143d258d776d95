"""Records the calls of a path, and ends the process at the step of its exit plan."""

import signal
import time
from collections.abc import Callable
from contextvars import ContextVar

from chaos.crash.exit_plans import Call, ExitMoment, ExitPlan, ExitReport

ON_PATH: ContextVar[bool] = ContextVar("on_path", default=False)
"""Tasks and callbacks inherit it from their creator, so it follows the path."""
Schedule = Callable[[float, Callable[[], None]], None]
MIN_DELAY = 1e-6
"""Seconds; zero would disable the timer."""


def set_alarm(seconds: float, callback: Callable[[], None]) -> None:
    """Call back from SIGALRM, which interrupts the event loop; a thread would wait for the GIL."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: callback())
    signal.setitimer(signal.ITIMER_REAL, max(seconds, MIN_DELAY))


class CallRecorder:
    """`exit_process` is called with the report and does not return."""

    def __init__(
        self,
        plan: ExitPlan,
        exit_process: Callable[[ExitReport], None],
        schedule: Schedule = set_alarm,
    ) -> None:
        self.plan = plan
        self.calls: list[Call] = []
        self._exit_process = exit_process
        self._in_flight: dict[object, tuple[int, float]] = {}
        self._schedule = schedule

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
            self._schedule(self.plan.delay, lambda: self._exit("during"))

    def end(self, key: object) -> None:
        """Record the end of a call, successful or not."""
        if key not in self._in_flight:
            return
        number, started = self._in_flight.pop(key)
        self.calls[number] = Call(self.calls[number].name, time.perf_counter() - started)
        if number == self.plan.number and self.plan.moment == "after":
            self._exit("after")

    def finish(self) -> None:
        """The path has ended: exit now, since the step cannot come any more."""
        if not ON_PATH.get():
            return
        time.sleep(self.plan.delay)  # the alarm may still be pending
        self._exit("end")

    def _exit(self, at: ExitMoment) -> None:
        number = self.plan.number
        in_flight = any(number == other for other, _ in self._in_flight.values())
        self._exit_process(ExitReport(at, number, in_flight, tuple(self.calls)))
