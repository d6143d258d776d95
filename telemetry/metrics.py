"""Prometheus metrics of /metrics, counted as things happen or read at scrape time."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One registry per server, so that two servers in one process do not mix."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "qlive_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "qlive_request_seconds",
            "Duration of a request.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.delivery_seconds = Histogram(
            "qlive_told_seconds",
            "Time from saving an event to its delivery to the last socket of this process.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.mongo_seconds = Histogram(
            "qlive_mongo_seconds",
            "Duration of a MongoDB command.",
            ["command", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.loop_lag_seconds = Gauge(
            "qlive_loop_lag_seconds", "Last measured delay of the event loop.", registry=registry
        )
        self.handshakes = Counter(
            "qlive_handshakes", "WebSocket handshakes accepted.", registry=registry
        )
        self.closes = Counter(
            "qlive_closes", "Closed sockets, by close code.", ["code"], registry=registry
        )
        self.requests_limited = Counter(
            "qlive_requests_limited",
            "Requests and joins refused by a rate limit.",
            ["class", "by"],
            registry=registry,
        )
        self.operator_tokens_refused = Counter(
            "qlive_operator_tokens_refused",
            "Requests with a wrong operators' token.",
            registry=registry,
        )
        self.callbacks_refused = Counter(
            "qlive_callbacks_refused",
            "Callbacks of Tencent and WeChat that were refused.",
            ["source", "reason"],
            registry=registry,
        )

        self.operator_reads = Counter(
            "qlive_operator_reads", "Reads by operators.", ["route"], registry=registry
        )

        self.old_rows_deleted = Counter(
            "qlive_old_rows_deleted", "Rows deleted by retention.", ["kind"], registry=registry
        )

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Register a gauge that is read at scrape time."""
        Gauge(f"qlive_{name}", description, registry=self._registry).set_function(read)

    def counter(self, name: str, description: str, read: Callable[[], int]) -> None:
        """Register a counter that is kept elsewhere and read at scrape time."""
        self._registry.register(_CallbackCounter(f"qlive_{name}", description, read))

    def observe_mongo(self, command: str, outcome: str, seconds: float) -> None:
        self.mongo_seconds.labels(command, outcome).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _CallbackCounter(Collector):
    def __init__(self, name: str, description: str, read: Callable[[], int]) -> None:
        self._name, self._description, self._read = name, description, read

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._description, value=self._read())
