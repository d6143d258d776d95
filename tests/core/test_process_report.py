from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest

from core.process_report import ProcessReport, Readings, read_report

REPORT = ProcessReport(
    *("qlive-a", 0, 4711, "http://10.0.0.11:8000", "1"),
    started_at=datetime(2026, 11, 26, 20, tzinfo=UTC),
    draining=False,
    readings=Readings(1.5, *range(8)),
)


def test_a_report_of_this_release_is_read_as_it_is() -> None:
    assert read_report(asdict(REPORT)) == asdict(REPORT)
    alone = asdict(REPORT) | {"worker": None}
    assert read_report(alone) == alone
    assert read_report(asdict(REPORT) | {"later": 1}) == asdict(REPORT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("machine", 7),
        ("machine", None),
        ("worker", "0"),
        ("worker", True),
        ("pid", 1.5),
        ("address", ["http://10.0.0.11:8000"]),
        ("version", {"major": 1}),
        ("started_at", "2026-11-26"),
        ("started_at", 0),
        ("draining", 1),
        ("readings", None),
        ("readings", [1]),
    ],
)
def test_a_field_of_another_type_is_unknown(name: str, value: Any) -> None:
    expected = asdict(REPORT)
    del expected[name]
    assert read_report(asdict(REPORT) | {name: value}) == expected


def test_readings_of_another_type_are_unknown() -> None:
    wrong = {"loop_lag_ms": "1", "sockets": 1.5, "rooms": True, "requests": None, "later": 1}
    readings = asdict(REPORT.readings) | wrong
    found = read_report(asdict(REPORT) | {"readings": readings})["readings"]
    assert found == {k: v for k, v in asdict(REPORT.readings).items() if k not in wrong}
    assert read_report({"readings": {"loop_lag_ms": 2}}) == {"readings": {"loop_lag_ms": 2}}


@pytest.mark.parametrize("stored", [None, "report", 7, []])
def test_what_is_no_report_is_unknown(stored: object) -> None:
    assert read_report(stored) == {}
