from datetime import UTC, datetime

import pytest

from loadtest.measurements import Delivery, Measurements, Sample, percentile
from loadtest.options import LoadOptions, Mix
from loadtest.page import page
from loadtest.plots import by_percentile, over_time
from loadtest.report import LoadReport

OPTIONS = LoadOptions("http://x<y", None, 3, Mix(1, 1, 1), 60, "apply", 0.25, 10, 60)
AT = datetime(2026, 11, 26, tzinfo=UTC)


def event(seq: int, user_id: str = "1") -> dict[str, object]:
    return {"type": "micro_apply", "epoch": "e", "seq": seq, "data": {"user_id": user_id}}


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_percentile_is_the_value_at_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile([float(n) for n in range(1, 101)], share) == expected


def test_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 0.5) == 0


def test_an_event_is_of_the_change_that_it_names_and_counts_its_members() -> None:
    it = Measurements()
    mine = it.expect(7, "micro_apply", "1")
    it.record_event(7, event(3, "2"), 5)  # of a user who is not in the test
    for _ in range(2):
        it.record_event(7, event(4), 5)
    assert it.deliveries == {(7, "e", 4): mine}
    assert (mine.received, mine.listeners) == (2, 5)
    assert mine.last >= mine.started


def test_what_comes_before_the_load_does_not_count() -> None:
    it = Measurements(started=0.0)
    it.record_answer("sign_in", 429, "too_many", it.started)
    it.record_close(4029)
    it.begin()
    assert not it.answers
    assert not it.statuses
    assert not it.closes


def test_what_comes_after_the_end_is_not_measured() -> None:
    it = Measurements()
    it.expect(7, "micro_apply", "1")
    it.ended = it.started + 1
    it.record_event(7, event(4), 5)
    it.record_answer("call", 200, "", it.started)
    it.record_reconnect(it.started)
    it.record_close(4000)
    assert not (it.deliveries)
    assert not (it.statuses)
    assert not (it.reconnects)
    assert not (it.closes)
    assert it.seconds == 1


def test_the_report_names_losses_refusals_closes_and_its_own_delay() -> None:
    it = Measurements(started=0.0, ended=10.0)
    it.answers["get"] = [Sample(1, 0.01), Sample(2, 0.03)]
    it.statuses.update({("get", 200, ""): 2, ("post", 429, "too_many"): 4, ("post", 0, ""): 1})
    it.closes[4000] = 2
    it.deliveries[1, "e", 1] = Delivery(1.0, listeners=3, received=2, answered=1.5, last=1.25)
    it.lags = [Sample(1, 0.2)]
    text = LoadReport(OPTIONS, it, AT).text()
    for line in (
        "http://x<y, 2026-11-26 00:00 UTC, 10 s of load",
        "2 of 3 deliveries to connected members",
        "4 x post: 429 too_many",
        "1 x post: no answer",
        "2 x socket closed by the server: 4000",
        "late by 200 ms",
    ):
        assert line in text
    rows = {line[:24].strip(): line.split()[-5:] for line in text.splitlines()}
    assert rows["answer"] == ["2", "10.0", "30.0", "30.0", "30.0"]
    assert rows["request to last member"] == ["1", *["250.0"] * 4]
    assert rows["answer to last member"] == ["1", *["0.0"] * 4]
    assert rows["reconnect"] == ["0", *"----"]


def test_the_page_of_a_test_that_measured_nothing_is_complete_and_escaped() -> None:
    html = page(LoadReport(OPTIONS, Measurements(started=0.0, ended=10.0), AT))
    assert "http://x&lt;y" in html
    assert "x<y" not in html
    assert html.count("<svg") == html.count("</svg>") == 3


def test_plots_keep_within_their_frame() -> None:
    values = [0.0, 0.05, 1.0, 12.0, 900.0]
    for plot in (
        over_time("t", {"a": list(enumerate(values))}),
        by_percentile("t", {"a": values, "b": []}),
    ):
        points = plot.partition('points="')[2].partition('"')[0].split()
        assert len(points) == 5
        for point in points:
            x, y = map(float, point.split(","))
            assert 64 <= x <= 744
            assert 36 <= y <= 260
