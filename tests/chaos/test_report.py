import json
from typing import Any

import pytest

from chaos.metrics import percentile
from chaos.report import RunReport


def make(**fields: Any) -> RunReport:
    return RunReport("storm", 7, "/folder", 60.0, **fields)


def test_a_run_passes_without_violations() -> None:
    assert make().passed
    assert not make(violations={"gap": 1}).passed


def test_missed_goals_fail_the_run_and_are_listed() -> None:
    report = make(metrics={"recovery": 9.0, "deliveries": 10, "unknown": None})
    report.require("recovery", 10)
    report.require("deliveries", 10, at_least=True)
    assert report.passed
    report.require("recovery", 8)
    report.require("deliveries", 11, at_least=True)
    report.require("unknown", 1)
    assert report.missed == [
        "recovery 9.0, at most 8",
        "deliveries 10, at least 11",
        "unknown None, at most 1",
    ]
    assert not report.passed


def test_the_json_line_has_the_scenario_seed_and_folder() -> None:
    line = json.loads(make(violations={"gap": 1}).line())
    assert line["passed"] is False
    assert (line["scenario"], line["seed"], line["folder"]) == ("storm", 7, "/folder")


def test_the_summary_has_violations_goals_and_their_values() -> None:
    report = make(metrics={"recovery": 9.0}, violations={"gap": 2})
    report.require("recovery", 8)
    missed = "recovery 9.0, at most 8"
    assert report.summary == f"storm 7: FAILED (gap: 2; {missed}), 60.0 s; {missed}"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([3.0], 0.01, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 1, 4.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
    ],
)
def test_a_percentile_is_a_measured_value(
    values: list[float], share: float, expected: float | None
) -> None:
    assert percentile(values, share) == expected
