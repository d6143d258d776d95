"""Gifts over real processes, at a small size: each acknowledged gift is booked once."""

from pathlib import Path

import pytest

from chaos.run import RunSize
from chaos.scenario import RunConfig
from chaos.scenarios import gold, once

pytestmark = [pytest.mark.programs, pytest.mark.linux]


@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_concurrent_copies_of_a_request_have_one_effect_and_equal_responses(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "REQUESTS_PER_ID", 20)
    size = RunSize(clients=8, rooms=2, processes=2, gifts_and_renames=False, rejoins=False)
    report = await once.once(RunConfig(folder, size, seconds=1))
    assert report.passed, report.line()
    assert (report.metrics["gifts_acknowledged"], report.metrics["gifts_booked"]) == (10, 10)


@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_no_covered_gift_is_rejected_while_mongodb_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gold, "PER_SECOND", 30)
    monkeypatch.setattr(gold, "INTERVAL_SECONDS", 2.0)
    monkeypatch.setattr(gold, "DOWN_SECONDS", 0.5)
    size = RunSize(clients=8, rooms=2, processes=1, gifts_and_renames=False, rejoins=False)
    report = await gold.gold(RunConfig(folder, size, seconds=4))
    assert not report.violations, report.line()
    assert report.metrics["kills"] > 0
    assert report.metrics["gifts_acknowledged"] == report.metrics["gifts_booked"] > 40
