from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from telemetry.metrics import Metrics
from telemetry.snapshot import SUM_STEP, Family, Part, Snapshot, decode, encode, merge, render


def counted() -> Metrics:
    """Metrics of every kind with values."""
    metrics = Metrics()
    metrics.requests.labels("A", "GET", 200).inc(3)
    metrics.requests.labels('"\\\n', "GET", 200).inc()
    metrics.request_seconds.labels("A").observe(0.003)
    metrics.request_seconds.labels("A").observe(60)
    metrics.delivery_seconds.observe(0.5)
    metrics.handshakes.inc()
    metrics.loop_lag_seconds.set(0.25)
    metrics.dependency_up.labels("mongodb").set(1)
    return metrics


def test_text_is_what_the_library_writes() -> None:
    metrics, registry = counted(), CollectorRegistry()
    for metric in (
        metrics.requests,
        metrics.request_seconds,
        metrics.delivery_seconds,
        metrics.mongo_seconds,
        metrics.loop_lag_seconds,
        metrics.dependency_up,
        metrics.outbox_oldest_seconds,
        metrics.handshakes,
        metrics.closes,
        metrics.requests_limited,
        metrics.operator_tokens_refused,
        metrics.operator_logins_refused,
        metrics.callbacks_refused,
        metrics.platform_events,
        metrics.xpay_rejections,
        metrics.operator_reads,
        metrics.old_rows_deleted,
    ):
        registry.register(metric)
    assert metrics.text() == generate_latest(registry)


def test_snapshot_is_the_same_after_it_was_stored() -> None:
    metrics = counted()
    before = metrics.snapshot()
    after, more = decode(encode(before, added=["0-1"]))
    assert more == {"added": ["0-1"]}
    (seconds,) = after["qlive_request_seconds"].rows.values()
    (exact,) = before["qlive_request_seconds"].rows.values()
    assert (seconds[0], seconds[1:]) == (pytest.approx(exact[0], abs=SUM_STEP), exact[1:])
    exact[0] = seconds[0]
    assert after == before


@given(st.lists(st.floats(0, 100), min_size=3, max_size=8))
def test_stored_sums_add_up_to_the_same_in_any_order(durations: list[float]) -> None:
    snapshots = []
    for seconds in durations:
        metrics = Metrics()
        metrics.delivery_seconds.observe(seconds)
        snapshots.append(decode(encode(metrics.snapshot()))[0])
    parts = [Part("", snapshot) for snapshot in snapshots]
    first = Part("", merge(parts[1:]))
    forwards, grouped = merge(parts), merge([first, parts[0]])
    assert forwards["qlive_told_seconds"].rows[()][0] == grouped["qlive_told_seconds"].rows[()][0]


def test_counters_and_histograms_are_added_up_and_keep_the_earliest_creation() -> None:
    one, other = counted(), counted()
    other.requests.labels("B", "GET", 200).inc(5)
    total = merge([Part("0", one.snapshot()), Part("1", other.snapshot())])
    requests = {key: value for key, (value, _) in total["qlive_requests"].rows.items()}
    assert requests == {("A", "GET", "200"): 6, ('"\\\n', "GET", "200"): 2, ("B", "GET", "200"): 5}
    (first,) = one.snapshot()["qlive_handshakes"].rows.values()
    assert total["qlive_handshakes"].rows[()] == [2, first[1]]
    text = render(total).decode()
    assert 'qlive_request_seconds_bucket{le="0.005",route="A"} 2.0' in text
    assert 'qlive_request_seconds_bucket{le="+Inf",route="A"} 4.0' in text
    assert 'qlive_request_seconds_sum{route="A"} 120.006' in text


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        ("sum", {(): [6.0]}),
        ("first", {(): [1.0]}),
        ("own", {(): [2.0]}),
        ("worker", {("0",): [3.0], ("1",): [2.0]}),
    ],
)
def test_gauges_are_combined_as_each_means(
    combine: str, expected: dict[tuple[str, ...], list[float]]
) -> None:
    def of(value: float) -> Snapshot:
        return {"g": Family("g", "gauge", "", combine=combine, rows={(): [value]})}  # type: ignore[arg-type]

    renewed = [Part("0", of(1.0)), Part("1", of(2.0), answers=True), Part("0", of(3.0))]
    assert merge(renewed)["g"].rows == expected


def family(kind: str, key: tuple[str, ...] = (), **shape: Any) -> Family:
    """A metric with one series, of ones; `key`: its label values."""
    new = Family("m", kind, "", **shape)  # type: ignore[arg-type]
    return replace(new, rows={key: [1.0] * new.width})


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (
            family("histogram", bounds=("1", "+Inf")),
            family("histogram", bounds=("1", "2", "+Inf")),
        ),
        (family("histogram", bounds=("1", "+Inf")), family("histogram", bounds=("2", "+Inf"))),
        (family("counter", ("a",), labels=("x",)), family("counter", ("a",), labels=("y",))),
        (
            family("counter", ("a",), labels=("x",)),
            family("counter", ("a", "b"), labels=("x", "y")),
        ),
        (family("gauge", combine="sum"), family("gauge", combine="worker")),
        (family("gauge", combine="worker"), family("gauge", combine="first")),
        (family("gauge", combine="sum"), family("counter")),
    ],
    ids=lambda it: f"{it.kind} {it.labels} {it.bounds} {it.combine}",
)
def test_series_of_another_release_with_another_shape_are_left_out(
    first: Family, other: Family
) -> None:
    """Other buckets, labels, kinds and combinations of them."""
    for one, two in ((first, other), (other, first)):
        alone = merge([Part("0", {"m": one})])
        total = merge([Part("0", {"m": one}), Part("1", {"m": two})])
        assert total == alone
        assert render(total) == render(alone)
