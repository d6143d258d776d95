"""Counts what a path asks of others, and ends the process at the step that it was born with."""

import signal
import time
from collections.abc import Callable
from contextvars import ContextVar

from chaos.crash.steps import Act, At, Death, Fate

ON_PATH: ContextVar[bool] = ContextVar("on_path", default=False)
"""Tasks and callbacks take it over from whoever made them: it goes wherever the path goes."""
Later = Callable[[float, Callable[[], None]], None]
AT_ONCE = 1e-6
"""Seconds; none at all would be no alarm."""


def alarm(seconds: float, act: Callable[[], None]) -> None:
    """Wakes the loop and interrupts whatever it is at: a thread would wait for its turn."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: act())
    signal.setitimer(signal.ITIMER_REAL, max(seconds, AT_ONCE))


class Watch:
    """`die` is told how, and does not return."""

    def __init__(self, fate: Fate, die: Callable[[Death], None], later: Later = alarm) -> None:
        self.fate = fate
        self.acts: list[Act] = []
        self._die = die
        self._under_way: dict[object, tuple[int, float]] = {}
        self._later = later

    def begin(self, key: object, name: str) -> None:
        """An act that is known by `key` until its end; nobody's business but on the path."""
        if not ON_PATH.get():
            return
        number = len(self.acts)
        self.acts.append(Act(name))
        if number == self.fate.number and self.fate.moment == "before":
            self._end("before")
        self._under_way[key] = number, time.perf_counter()
        if number == self.fate.number and self.fate.moment == "during":
            self._later(self.fate.delay, lambda: self._end("during"))

    def end(self, key: object) -> None:
        """That act was answered, whatever the answer."""
        if key not in self._under_way:
            return
        number, began = self._under_way.pop(key)
        self.acts[number] = Act(self.acts[number].name, time.perf_counter() - began)
        if number == self.fate.number and self.fate.moment == "after":
            self._end("after")

    def over(self) -> None:
        """The path has come to its end; a step that has not come by now never will."""
        if not ON_PATH.get():
            return
        time.sleep(self.fate.delay)  # the alarm may still be to come
        self._end("end")

    def _end(self, at: At) -> None:
        number = self.fate.number
        under_way = any(number == of for of, _ in self._under_way.values())
        self._die(Death(at, number, under_way, tuple(self.acts)))
