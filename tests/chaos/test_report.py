import json
from typing import Any

import pytest

from chaos.metrics import percentile
from chaos.report import RunReport, table


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


def test_the_table_has_a_row_per_run_with_its_violations() -> None:
    missed = ["recovery 9.0, at most 8"]
    failed = make(metrics={"gaps": 2}, violations={"gap": 2}, missed=missed)
    lines = table([make(), failed]).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].endswith("| passed |")
    assert lines[3].endswith("| gap: 2; recovery 9.0, at most 8 |")


def test_the_table_lists_goals_with_their_values() -> None:
    report = make(metrics={"recovery": 9.0})
    report.require("recovery", 10)
    assert table([report]).endswith("| recovery 9.0, at most 10 | passed |")


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
