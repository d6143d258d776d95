"""What /metrics shows; counted as it happens or read off the parts when asked."""

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
            "Time to answer a request.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.told_seconds = Histogram(
            "qlive_told_seconds",
            "From the saving of an event to the last socket of this process that hears it.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.mongo_seconds = Histogram(
            "qlive_mongo_seconds",
            "Time of a MongoDB command.",
            ["command", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.loop_lag_seconds = Gauge(
            "qlive_loop_lag_seconds", "How late the event loop last was.", registry=registry
        )
        self.handshakes = Counter(
            "qlive_handshakes", "WebSocket handshakes accepted.", registry=registry
        )
        self.closes = Counter(
            "qlive_closes", "Sockets that have closed, by code.", ["code"], registry=registry
        )

        self.callbacks_refused = Counter(
            "qlive_callbacks_refused",
            "Reports from outside that were refused.",
            ["source", "reason"],
            registry=registry,
        )

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is scraped."""
        Gauge(f"qlive_{name}", about, registry=self._registry).set_function(read)

    def tally(self, name: str, about: str, read: Callable[[], int]) -> None:
        """A counter that somebody else counts."""
        self._registry.register(_Tally(f"qlive_{name}", about, read))

    def observe_mongo(self, command: str, outcome: str, seconds: float) -> None:
        self.mongo_seconds.labels(command, outcome).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Tally(Collector):
    def __init__(self, name: str, about: str, read: Callable[[], int]) -> None:
        self._name, self._about, self._read = name, about, read

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._about, value=self._read())
