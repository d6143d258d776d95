"""Cost of counting, and of adding up the workers' metrics: python -m bench.metrics_cost.

Compares the metrics of a worker with those of prometheus-client in its own registry and in its
multiprocess mode, in turns within one process.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, values

from telemetry.metrics import Metrics
from telemetry.metrics_files import EndedMetricsFile, WorkerMetricsFile

ROUNDS, CALLS = 40, 5_000
WORKERS = 4
COUNTED = ("GetUserState", "GET", 200)
ROUTES, COMMANDS = 70, 25
"""As many series as a worker of production has that has served every route."""


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        _counting(folder)
        _adding_up(folder)


def _counting(folder: Path) -> None:
    metrics = Metrics()
    plain = _library_metrics()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass, kept = values.MultiProcessValue(), values.ValueClass
    shared = _library_metrics()
    values.ValueClass = kept
    del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    kinds = {
        "in a registry, as before": plain,
        "now": (metrics.requests, metrics.request_seconds),
        "multiprocess mode": shared,
    }
    for number, name in enumerate(("labels().inc()", "labels().observe()")):
        counts = [_count, _observe]
        taken = _alternate({kind: counts[number](pair[number]) for kind, pair in kinds.items()})
        first = taken["in a registry, as before"]
        for kind, seconds in taken.items():
            ns = seconds / CALLS * 1e9
            print(f"{name:20} {kind:25} {ns:6.0f} ns  {seconds / first:.2f}")


def _library_metrics() -> tuple[Counter, Histogram]:
    registry = CollectorRegistry()
    counter = Counter("a", "", ["route", "method", "status"], registry=registry)
    histogram = Histogram("b", "", ["route"], registry=registry)
    counter.labels(*COUNTED)  # creates the value, in a file in multiprocess mode
    histogram.labels(*COUNTED[:1])
    return counter, histogram


def _count(counter: Counter) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            counter.labels(*COUNTED).inc()

    return run


def _observe(histogram: Histogram) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            histogram.labels(*COUNTED[:1]).observe(0.002)

    return run


def _alternate(works: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of each, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            taken[name].append(_seconds(work))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _adding_up(folder: Path) -> None:
    ended = EndedMetricsFile(folder)
    ended.write({})
    files = [WorkerMetricsFile(ended.next_worker(n)) for n in range(WORKERS)]
    workers = [Metrics(file) for file in files]
    for metrics in workers:
        _fill(metrics)
        metrics.save()
    taken = _alternate(
        {"a worker's snapshot, each second": workers[0].save, "a scrape": files[0].text}
    )
    size = next(folder.rglob("*.worker")).stat().st_size / 1024
    lines = files[0].text().count(b"\n")
    for name, seconds in taken.items():
        print(f"{name:34} {seconds * 1e3:5.1f} ms")
    print(f"{WORKERS} files of {size:.0f} KB, {lines} lines")


def _fill(metrics: Metrics) -> None:
    for n in range(ROUTES):
        for status in (200, 400, 401, 429):
            metrics.requests.labels(f"Route{n}", "GET", status).inc()
        metrics.request_seconds.labels(f"Route{n}").observe(0.01)
    for n in range(COMMANDS):
        metrics.observe_mongo(f"command{n}", "ok", 0.01)
        metrics.observe_mongo(f"command{n}", "failed", 0.01)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
