"""Prometheus metrics of /metrics, counted as things happen or read at scrape time."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from prometheus_client import Counter, Gauge, Histogram

from telemetry.metrics_files import WorkerMetricsFile
from telemetry.snapshot import (
    Combine,
    Family,
    Key,
    Read,
    Snapshot,
    bounds_of,
    render,
    rows_of,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Registry:
    """The metrics of one process; values change in memory only, which costs no more than that."""

    def __init__(self) -> None:
        self._families: list[tuple[Family, Read]] = []

    def new_counter(self, name: str, description: str, labels: Key = ()) -> Counter:
        """A counter named `qlive_NAME_total`."""
        metric = Counter(f"qlive_{name}", description, labels, registry=None)
        family = Family(f"qlive_{name}", "counter", description, labels)
        self._families.append((family, lambda: rows_of(metric)))
        return metric

    def new_histogram(self, name: str, description: str, labels: Key = ()) -> Histogram:
        """A histogram of seconds."""
        metric = Histogram(f"qlive_{name}", description, labels, buckets=_SECONDS, registry=None)
        family = Family(f"qlive_{name}", "histogram", description, labels, bounds=bounds_of(metric))
        self._families.append((family, lambda: rows_of(metric)))
        return metric

    def new_gauge(
        self, name: str, description: str, labels: Key = (), *, combine: Combine
    ) -> Gauge:
        """A gauge that is set; `combine`: for several workers."""
        metric = Gauge(f"qlive_{name}", description, labels, registry=None)
        family = Family(f"qlive_{name}", "gauge", description, labels, combine)
        self._families.append((family, lambda: rows_of(metric)))
        return metric

    def gauge(
        self, name: str, description: str, read: Callable[[], float], *, combine: Combine = "sum"
    ) -> None:
        """Register a gauge that is read at scrape time; `combine`: for several workers."""
        family = Family(f"qlive_{name}", "gauge", description, combine=combine)
        self._families.append((family, lambda: {(): [read()]}))

    def gauges(
        self,
        name: str,
        description: str,
        label: str,
        read: Callable[[], Mapping[str, float]],
        *,
        combine: Combine,
    ) -> None:
        """Register gauges that are read at scrape time, by the value of their label."""
        family = Family(f"qlive_{name}", "gauge", description, (label,), combine)
        self._families.append((family, lambda: {(key,): [value] for key, value in read().items()}))

    def counter(self, name: str, description: str, read: Callable[[], int]) -> None:
        """Register a counter that is kept elsewhere and read at scrape time."""
        family = Family(f"qlive_{name}", "counter", description)
        self._families.append((family, lambda: {(): [float(read()), 0.0]}))

    def snapshot(self) -> Snapshot:
        """The present values."""
        return {family.name: replace(family, rows=dict(read())) for family, read in self._families}


class Metrics(Registry):
    """The metrics of a serving process; with `file`, those of all workers are answered."""

    def __init__(self, file: WorkerMetricsFile | None = None) -> None:
        super().__init__()
        self._file = file
        counter, histogram = self.new_counter, self.new_histogram
        self.requests = counter("requests", "Requests answered.", ("route", "method", "status"))
        self.request_seconds = histogram("request_seconds", "Duration of a request.", ("route",))
        self.delivery_seconds = histogram(
            "told_seconds",
            "Time from saving an event to its delivery to the last socket of a worker.",
        )
        self.mongo_seconds = histogram(
            "mongo_seconds", "Duration of a MongoDB command.", ("command", "outcome")
        )
        self.loop_lag_seconds = self.new_gauge(
            "loop_lag_seconds", "Last measured delay of the event loop.", combine="worker"
        )
        self.dependency_up = self.new_gauge(
            "dependency_up",
            "1 if the dependency answered last, 0 if not; absent if it was not used lately.",
            ("dependency",),
            combine="worker",
        )
        self.outbox_oldest_seconds = self.new_gauge(
            "outbox_oldest_seconds",
            "Age of the oldest call to Tencent that waits in the outbox; 0 if none does.",
            combine="first",
        )
        self.handshakes = counter("handshakes", "WebSocket handshakes accepted.")
        self.closes = counter("closes", "Closed sockets, by close code.", ("code",))
        self.requests_limited = counter(
            "requests_limited",
            "Requests, joins and handshakes refused by a rate limit.",
            ("class", "by"),
        )
        self.operator_tokens_refused = counter(
            "operator_tokens_refused",
            "Requests with a wrong operators' token, without those of ended sessions.",
        )
        self.operator_logins_refused = counter(
            "operator_logins_refused", "Logins of operators that were refused."
        )
        self.callbacks_refused = counter(
            "callbacks_refused",
            "Callbacks of Tencent and WeChat that were refused.",
            ("source", "reason"),
        )
        self.platform_events = counter(
            "platform_events", "Events of WeChat that move no gold, each counted once.", ("event",)
        )
        self.xpay_rejections = counter(
            "xpay_rejections",
            "Calls of virtual payment that WeChat rejected.",
            ("call", "errcode"),
        )
        self.operator_reads = counter("operator_reads", "Reads by operators.", ("route",))
        self.old_rows_deleted = counter("old_rows_deleted", "Rows deleted by retention.", ("kind",))

    @property
    def server(self) -> str | None:
        """Identifies the supervisor whose workers are added up; None without one."""
        return self._file.server if self._file else None

    @property
    def loop_lag(self) -> float:
        """Last measured delay of the event loop, in seconds."""
        return rows_of(self.loop_lag_seconds)[()][0]

    def observe_mongo(self, command: str, outcome: str, seconds: float) -> None:
        self.mongo_seconds.labels(command, outcome).observe(seconds)

    def count_xpay_rejection(self, call: str, errcode: str) -> None:
        self.xpay_rejections.labels(call, errcode).inc()

    def save(self) -> None:
        """Write the present values for the other workers; without a supervisor, nothing."""
        if self._file:
            self._file.write(self.snapshot())

    async def page(self) -> bytes:
        """Prometheus text of all workers, or of this process without a supervisor.

        Formatted in a thread, since it takes tens of milliseconds. If there is no space for the
        present values of this process, its last written ones are in the answer.
        """
        if self._file is None:
            return await asyncio.to_thread(render, self.snapshot())
        with suppress(OSError):
            self.save()
        return await asyncio.to_thread(self._file.text)

    def text(self) -> bytes:
        """Prometheus text of this process."""
        return render(self.snapshot())
