"""Snapshots of metrics: taken in a worker, stored as bytes, added up, rendered as Prometheus text.

A snapshot costs a worker about 1 ms, a tenth of the library's `collect()`: it reads the values
only and repeats neither names nor bounds.
"""

import json
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Combine = Literal["sum", "worker", "first", "own"]
"""How the values of several workers become one.

sum: added up. worker: each worker's value, with the label `worker`. first: that of the worker that
has served longest, since all have the same. own: that of the worker that answers.
"""
Kind = Literal["counter", "gauge", "histogram"]
Key = tuple[str, ...]
SUM_STEP = 2.0**-20
"""Sums are stored as multiples of this, about a microsecond. Such numbers add up without rounding
up to 8e9, hence in any order to the same: otherwise a counter could fall by the last digit when the
values of a worker move to those of the ended, and Prometheus would take that for a restart."""
CREATED = 1
"""Index of the time of creation in a row, which is not added up: the earliest one remains."""


@dataclass(slots=True)
class Family:
    """All series of one metric.

    `rows` has by label values: of a gauge (value), of a counter (value, created), of a histogram
    (sum, created, and the count of each bucket). `created` in Unix seconds, 0 if unknown.
    """

    name: str
    kind: Kind
    description: str
    labels: Key = ()
    combine: Combine = "sum"
    bounds: Key = ()
    """Upper bounds of the buckets as in the label `le`, the last one +Inf."""
    rows: dict[Key, list[float]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Values in a row."""
        return {"gauge": 1, "counter": 2, "histogram": 2 + len(self.bounds)}[self.kind]


Snapshot = dict[str, Family]
"""By the name of the metric."""
Read = Callable[[], Mapping[Key, list[float]]]


def rows_of(metric: Counter | Gauge | Histogram) -> dict[Key, list[float]]:
    """The present rows of a metric of the library.

    Reads its private fields, for their speed; a test compares the result with its own text.
    """
    if not metric._labelnames:
        return {(): _row(metric)}
    return {tuple(key): _row(child) for key, child in metric._metrics.items()}


def _row(child: Any) -> list[float]:
    if isinstance(child, Gauge):
        return [child._value.get()]
    if isinstance(child, Counter):
        return [child._value.get(), child._created]
    buckets = [bucket.get() for bucket in child._buckets]
    return [child._sum.get(), child._created, *buckets]


def bounds_of(histogram: Histogram) -> Key:
    to_text: Callable[[float], str] = floatToGoString
    return tuple(to_text(bound) for bound in histogram._upper_bounds)


# ---- as bytes


def encode(snapshot: Snapshot, **more: Any) -> bytes:
    """One line of JSON with names, labels and `more`, then all values as doubles."""
    families = [
        {
            "name": it.name,
            "kind": it.kind,
            "description": it.description,
            "labels": it.labels,
            "combine": it.combine,
            "bounds": it.bounds,
            "keys": list(it.rows),
        }
        for it in snapshot.values()
    ]
    values = array("d")
    for family in snapshot.values():
        for row in family.rows.values():
            values.extend(row if family.kind == "gauge" else _exact(row))
    return json.dumps({**more, "families": families}).encode() + b"\n" + values.tobytes()


def _exact(row: Sequence[float]) -> list[float]:
    return [math.floor(row[0] / SUM_STEP) * SUM_STEP, *row[1:]]


def decode(data: bytes) -> tuple[Snapshot, dict[str, Any]]:
    """The snapshot, and what else was given to `encode`."""
    head, _, body = data.partition(b"\n")
    fields = json.loads(head)
    values = array("d", body)
    snapshot: Snapshot = {}
    position = 0
    for row in fields.pop("families"):
        keys = row.pop("keys")
        family = Family(**{**row, "labels": tuple(row["labels"]), "bounds": tuple(row["bounds"])})
        for key in keys:
            end = position + family.width
            family.rows[tuple(key)] = list(values[position:end])
            position = end
        snapshot[family.name] = family
    return snapshot, fields


# ---- added up


@dataclass(frozen=True, slots=True)
class Part:
    """The snapshot of one worker, named by its slot."""

    worker: str
    snapshot: Snapshot
    answers: bool = False
    """It is the worker that answers the scrape."""


def merge(parts: Iterable[Part]) -> Snapshot:
    """Adds up the parts, the oldest worker first.

    Two workers of one slot are the old and the new one in a renewal: of values that are labelled
    by worker, the new one's remain.
    """
    total: Snapshot = {}
    for part in parts:
        for name, family in part.snapshot.items():
            if family.combine == "own" and not part.answers:
                continue
            empty = _empty_total(family)
            # Workers of two releases may disagree about a metric; rows of another shape are lost.
            if _shape(total.setdefault(name, empty)) == _shape(empty):
                _add(total[name], family, part.worker)
    return total


def _empty_total(family: Family) -> Family:
    labels = (*family.labels, "worker") if family.combine == "worker" else family.labels
    return replace(family, labels=labels, rows={})


def _shape(family: Family) -> tuple[Kind, Combine, Key, Key]:
    return family.kind, family.combine, family.labels, family.bounds


def _add(total: Family, family: Family, worker: str) -> None:
    for key, row in family.rows.items():
        if family.combine == "worker":
            total.rows[*key, worker] = row
        elif key not in total.rows:
            total.rows[key] = list(row)
        elif family.combine == "sum":
            total.rows[key] = _sum(total.rows[key], row, has_created=family.kind != "gauge")


def _sum(one: Sequence[float], other: Sequence[float], *, has_created: bool) -> list[float]:
    result = [a + b for a, b in zip(one, other, strict=True)]
    if has_created:
        result[CREATED] = min(one[CREATED], other[CREATED])
    return result


# ---- as text


class _Rendered(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        return map(_metric, self._snapshot.values())


def render(snapshot: Snapshot) -> bytes:
    """The Prometheus text, as the library writes it."""
    return generate_latest(_Rendered(snapshot))


def _metric(family: Family) -> Metric:
    metric = Metric(family.name, family.description, family.kind)
    for key, row in family.rows.items():
        labels = dict(zip(family.labels, key, strict=True))
        for suffix, more, value in _samples(family, row):
            metric.add_sample(family.name + suffix, {**labels, **more}, value)
    return metric


def _samples(family: Family, row: Sequence[float]) -> Iterator[tuple[str, dict[str, str], float]]:
    if family.kind == "gauge":
        yield "", {}, row[0]
        return
    if family.kind == "counter":
        yield "_total", {}, row[0]
    else:
        count = 0.0
        for bound, bucket in zip(family.bounds, row[2:], strict=True):
            count += bucket
            yield "_bucket", {"le": bound}, count
        yield "_count", {}, count
        yield "_sum", {}, row[0]
    if row[CREATED]:
        yield "_created", {}, row[CREATED]
