"""Prometheus metrics of this process, counted as things happen or read at scrape time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

NewGauge = Callable[..., Gauge]
STATE, KIND = ("state",), ("kind",)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True)
class ScrapedCounter(Collector):
    """A counter that is kept elsewhere and read at scrape time."""

    name: str
    description: str
    read: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(f"qlive_{self.name}", self.description, value=self.read())


@dataclass(frozen=True, slots=True)
class OpenWork:
    """Gauges of work that is open."""

    states: Gauge
    oldest_seconds: Gauge
    problems: Gauge | None = None

    @classmethod
    def of_withdrawals(cls, gauge: NewGauge) -> Self:
        return cls(
            gauge("withdrawals_open", "Withdrawals that are neither paid nor returned.", STATE),
            gauge(
                "oldest_withdrawal_seconds",
                "Longest time that an open withdrawal has been in its state.",
                STATE,
            ),
            gauge(
                "transfer_problems",
                "Open withdrawals whose last call to WeChat Pay failed, by code.",
                ("code",),
            ),
        )

    @classmethod
    def of_refunds(cls, gauge: NewGauge) -> Self:
        return cls(
            gauge("refunds_open", "Refund cases that are neither closed nor dropped.", STATE),
            gauge(
                "oldest_refund_seconds",
                "Time since the oldest open refund case was confirmed.",
                STATE,
            ),
            gauge(
                "refund_problems",
                "Orders of refund cases whose provider is asked again, by problem.",
                ("problem",),
            ),
        )

    @classmethod
    def of_moderation(cls, gauge: NewGauge) -> Self:
        return cls(
            gauge("moderation_open", "Items of the moderation queue, by kind.", KIND),
            gauge("moderation_oldest_seconds", "Age of the oldest open item, by kind.", KIND),
        )

    def show(
        self,
        states: Mapping[str, int],
        oldest: Mapping[str, datetime],
        problems: Mapping[str, int] | None = None,
    ) -> None:
        """Set counts by state and by problem, and since when the oldest has been in its state."""
        now = datetime.now(UTC)
        ages = {state: (now - at).total_seconds() for state, at in oldest.items()}
        _set_all(self.states, states)
        _set_all(self.oldest_seconds, ages)
        if self.problems:
            _set_all(self.problems, problems or {})


class Refusals:
    """Counters of what was refused."""

    def __init__(self, counter: Callable[..., Counter]) -> None:
        self.requests = counter(
            "requests_limited",
            "Requests, joins and handshakes refused by a rate limit.",
            ("class", "by"),
        )
        self.operator_tokens = counter(
            "operator_tokens_refused",
            "Requests with a wrong operators' token, without those of ended sessions.",
        )
        self.operator_logins = counter(
            "operator_logins_refused", "Logins of operators that were refused."
        )
        self.callbacks = counter(
            "callbacks_refused",
            "Callbacks of Tencent and WeChat that were refused.",
            ("source", "reason"),
        )
        self.messages = counter(
            "messages_refused",
            "Messages of users that IM was told not to send, by reason.",
            ("reason",),
        )
        self.xpay_calls = counter(
            "xpay_rejections", "Calls of virtual payment that WeChat rejected.", ("call", "errcode")
        )


@dataclass(slots=True)
class Activity:
    """Counts of a process since its last status, for the console's charts."""

    refused: int = 0
    """Requests answered with 4xx."""
    failed: int = 0
    """Requests answered with 5xx."""
    requests: int = 0
    slowest_request: float = 0.0
    """Seconds, as is the next one."""
    slowest_delivery: float = 0.0


class Metrics:
    """The metrics of a serving process; all counters begin at 0 with it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._activity = Activity()
        self.loop_lag = 0.0
        """Last measured delay of the event loop, in seconds."""
        counter = partial(Counter, namespace="qlive", registry=self._registry)
        gauge = partial(Gauge, namespace="qlive", registry=self._registry)
        histogram = partial(Histogram, namespace="qlive", registry=self._registry, buckets=_SECONDS)
        self.requests = counter("requests", "Requests answered.", ("route", "method", "status"))
        self.request_seconds = histogram("request_seconds", "Duration of a request.", ("route",))
        self.delivery_seconds = histogram(
            "published_seconds",
            "Time from saving an event to its delivery to the last socket of this process.",
        )
        self.mongo_seconds = histogram(
            "mongo_seconds", "Duration of a MongoDB command.", ("command", "outcome")
        )
        self.gauge(
            "loop_lag_seconds", "Last measured delay of the event loop.", lambda: self.loop_lag
        )
        self.dependency_up = gauge(
            "dependency_up",
            "1 if the dependency answered last, 0 if not; absent if it was not used lately.",
            ("dependency",),
        )
        self.outbox_oldest_seconds = gauge(
            "outbox_oldest_seconds",
            "Age of the oldest call to Tencent that waits in the outbox; 0 if none does.",
        )
        self.withdrawals = OpenWork.of_withdrawals(gauge)
        self.refunds = OpenWork.of_refunds(gauge)
        self.moderation = OpenWork.of_moderation(gauge)
        self.handshakes = counter("handshakes", "WebSocket handshakes accepted.")
        self.refused = Refusals(counter)
        self.closes = counter("closes", "Closed sockets, by close code.", ("code",))
        self.platform_events = counter(
            "platform_events", "Events of WeChat and CSS that move no gold.", ("event",)
        )
        self.notices = counter(
            "notices", "Notices of lives for followers, by what became of them.", ("outcome",)
        )
        self.webhook_attempts = counter(
            "webhook_attempts", "Requests to endpoints of webhooks.", ("outcome",)
        )
        self.webhook_failures = counter(
            "webhook_failures", "Webhooks given up, and endpoints switched off by failures."
        )
        self.operator_reads = counter("operator_reads", "Reads by operators.", ("route",))
        self._missing_callbacks = gauge(
            "missing_callback_seconds",
            "Time since the last callback of a kind that came hourly and does not come any more.",
            KIND,
        )

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Register a gauge that is read at scrape time."""
        gauge = Gauge(name, description, namespace="qlive", registry=self._registry)
        gauge.set_function(read)

    def counter(self, name: str, description: str, read: Callable[[], int]) -> None:
        self._registry.register(ScrapedCounter(name, description, read))

    def show_missing_callbacks(self, seconds: Mapping[str, float]) -> None:
        _set_all(self._missing_callbacks, seconds)

    def count_request(self, route: str, method: str, status: int) -> None:
        self.requests.labels(route, method, status).inc()
        self._activity.requests += 1
        self._activity.refused += 400 <= status < 500
        self._activity.failed += status >= 500

    def observe_request(self, route: str, seconds: float) -> None:
        self.request_seconds.labels(route).observe(seconds)
        self._activity.slowest_request = max(self._activity.slowest_request, seconds)

    def observe_delivery(self, seconds: float) -> None:
        self.delivery_seconds.observe(seconds)
        self._activity.slowest_delivery = max(self._activity.slowest_delivery, seconds)

    def observe_mongo(self, command: str, outcome: str, seconds: float) -> None:
        self.mongo_seconds.labels(command, outcome).observe(seconds)

    def take_activity(self) -> Activity:
        """Return the counts since the last call, which begin again at 0."""
        activity, self._activity = self._activity, Activity()
        return activity

    def text(self) -> bytes:
        return generate_latest(self._registry)


def _set_all(gauge: Gauge, values: Mapping[str, float]) -> None:
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)
