import json
from typing import Any

import pytest

from chaos.figures import Figures, percentile
from chaos.report import Report, table


def report(**given: Any) -> Report:
    return Report("storm", 7, "/folder", 60.0, **given)


def test_a_run_without_a_fault_has_kept_its_promises() -> None:
    assert report().kept
    assert not report(faults={"gap": 1}).kept


def test_a_goal_is_reached_or_named() -> None:
    one = report(figures={"back": 9.0, "deliveries": 10, "unknown": None})
    one.aim("back", 10)
    one.aim("deliveries", 10, least=True)
    assert one.kept
    one.aim("back", 8)
    one.aim("deliveries", 11, least=True)
    one.aim("unknown", 1)
    assert one.missed == [
        "back 9.0, at most 8",
        "deliveries 10, at least 11",
        "unknown None, at most 1",
    ]
    assert not one.kept


def test_a_line_says_how_to_repeat_the_run() -> None:
    said = json.loads(report(faults={"gap": 1}).line())
    assert said["kept"] is False
    assert (said["scenario"], said["seed"], said["folder"]) == ("storm", 7, "/folder")


def test_a_table_has_a_row_per_run_and_says_what_broke() -> None:
    bad = report(figures={"gaps": 2}, faults={"gap": 2}, missed=["back 9.0, at most 8"])
    lines = table([report(), bad]).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].endswith("| kept |")
    assert lines[3].endswith("| gap: 2; back 9.0, at most 8 |")


def test_a_table_names_the_goals_and_what_they_came_to() -> None:
    one = report(figures={"back": 9.0})
    one.aim("back", 10)
    assert table([one]).endswith("| back 9.0, at most 10 | kept |")


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
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], share: float, expected: float | None
) -> None:
    assert percentile(values, share) == expected


def test_only_what_was_not_answered_counts_as_unavailable() -> None:
    figures = Figures()
    for status in (200, 503, 409, 0):
        figures.answered(status)
    assert [status for _, status in figures.unavailable] == [503, 0]
