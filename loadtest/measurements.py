"""What a load test measures, as it happens."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Pending = tuple[int, str, str]
"""A change whose event is awaited: live_id, event type, user_id."""


class Sample(NamedTuple):
    """A duration, and when it ended, in seconds since the start."""

    at: float
    seconds: float


@dataclass(slots=True)
class Delivery:
    """An event that a sender caused, on its way to the members of its room."""

    started: float
    """When the request was sent; times are of the monotonic clock."""
    listeners: int = 0
    """Members who were connected when the first of them received it."""
    received: int = 0
    """Members who received it, without those who missed it and received it when they resumed."""
    answered: float = 0.0
    last: float = 0.0
    """When the last of them received it."""


@dataclass(slots=True)
class Measurements:
    """All times are taken by one clock, that of this program."""

    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    """Of the measured time; 0 while it lasts."""
    answers: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    """By call."""
    statuses: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """By call, HTTP status (0: no answer) and error code."""
    reconnects: list[Sample] = field(default_factory=list)
    """From the loss of a connection to the first frame of the next one."""
    closes: Counter[int] = field(default_factory=Counter)
    """Connections that the server closed, by close code, or by status of a refused handshake."""
    lags: list[Sample] = field(default_factory=list)
    """How late the event loop of this program was."""
    replayed: int = 0
    deliveries: dict[tuple[int, str, int], Delivery] = field(default_factory=dict)
    """By live_id, epoch and number."""
    pending: dict[Pending, Delivery] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    def begin(self) -> None:
        """The load begins: what was recorded of signing in and entering does not count."""
        self.started = time.monotonic()
        for recorded in (self.answers, self.statuses, self.closes):
            recorded.clear()

    def record_answer(self, call: str, status: int, code: str, started: float) -> None:
        """`started`: when the request was sent."""
        if self.ended:
            return
        if status:
            self.answers[call].append(self._sample(started))
        self.statuses[call, status, code] += 1

    def record_reconnect(self, lost_at: float) -> None:
        if not self.ended:
            self.reconnects.append(self._sample(lost_at))

    def record_close(self, code: int) -> None:
        if not self.ended:
            self.closes[code] += 1

    def record_lag(self, seconds: float) -> None:
        self.lags.append(Sample(self.seconds, max(0.0, seconds)))

    def expect(self, live_id: int, kind: str, user_id: str) -> Delivery:
        """A change is about to be sent, whose event of this kind will name the user."""
        delivery = self.pending[live_id, kind, user_id] = Delivery(time.monotonic())
        return delivery

    def record_event(self, live_id: int, frame: dict[str, Any], listeners: int) -> None:
        """A member has received an event, which was not a replay."""
        key = live_id, frame["epoch"], frame["seq"]
        delivery = self.deliveries.get(key)
        if delivery is None:
            about = frame["data"].get("from", frame["data"])
            delivery = self.pending.pop((live_id, frame["type"], about.get("user_id", "")), None)
            if delivery is None or self.ended:  # caused by nobody here
                return
            delivery.listeners = listeners
            self.deliveries[key] = delivery
        delivery.received += 1
        delivery.last = time.monotonic()

    def to_last_member(self) -> list[Sample]:
        """From the request to the last member who received its event."""
        return [
            Sample(it.last - self.started, it.last - it.started) for it in self.deliveries.values()
        ]

    def after_answer(self) -> list[Sample]:
        """From the answer to the last member; 0 when the answer was later."""
        answered = [it for it in self.deliveries.values() if it.answered]
        return [Sample(it.last - self.started, max(0.0, it.last - it.answered)) for it in answered]

    def _sample(self, since: float) -> Sample:
        now = time.monotonic()
        return Sample(now - self.started, now - since)


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[min(rank, len(ordered)) - 1]
