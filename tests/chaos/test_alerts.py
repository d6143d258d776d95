from types import SimpleNamespace
from typing import Any

import pytest

from chaos.alerts import AlertCheck, alerts_checked, fired_by, require_alerts
from chaos.report import RunReport
from chaos.scrapes import CHECKED_AT, Scraper
from tests.support.waiting import until

UP = 'up{job="qlive",instance="0"}'


def fleet_of(*ports: int) -> Any:
    addresses = [f"http://127.0.0.1:{port}" for port in ports]
    return SimpleNamespace(nodes=[SimpleNamespace(address=address) for address in addresses])


def check_of(*ports: int) -> AlertCheck:
    return AlertCheck(Scraper(fleet_of(*ports)))


@pytest.mark.programs
@pytest.mark.gen_test(timeout=20)
async def test_alerts_that_fired_are_found_whichever_others_did() -> None:
    other = 'qlive_ledger_problems{job="qlive",instance="0"}'
    assert await fired_by({UP: "0x10", other: "2x10"}, 150) == {"QLiveDown", "QLiveLedgerProblem"}
    assert await fired_by({UP: "1x10", other: "0x10"}, 150) == set()


@pytest.mark.programs
@pytest.mark.gen_test(timeout=20)
async def test_unreadable_series_are_no_silence() -> None:
    with pytest.raises(RuntimeError, match="parse"):
        await fired_by({UP + "{": "0x10"}, 150)


def test_series_of_a_server_that_does_not_answer_end_at_once() -> None:
    check = check_of(1, 2)
    lag = {'qlive_dependency_up{dependency="im"}': "0.5"}
    check._scrapes = [[lag, {}], [None, {}], [None, {}], [lag, {}]]
    assert check._series() == {
        'qlive_dependency_up{job="qlive",instance="0",dependency="im"}': "0.5 stale _ 0.5",
        UP: "1 0 0 1",
        'up{job="qlive",instance="1"}': "1 1 1 1",
    }


def test_the_last_ledger_check_is_as_long_ago_at_the_time_of_the_evaluation() -> None:
    check = check_of(1)
    check._scrapes = [[{CHECKED_AT: "-1900.5"}], [{CHECKED_AT: "-1.25"}]]
    series = f'{CHECKED_AT}{{job="qlive",instance="0"}}'
    assert check._series()[series] == "-1900.500 13.750"


@pytest.mark.programs
@pytest.mark.gen_test(timeout=60)
async def test_an_alert_that_was_expected_and_did_not_fire_fails_the_run() -> None:
    run: Any = SimpleNamespace(fleet=fleet_of(1))  # nothing listens there
    async with alerts_checked(run, 0.01) as check:
        await until(lambda: len(check._scrapes) > 6)
    report = RunReport("scenario", 1, "", 1.0)
    await require_alerts(report, check, "QLiveDown")
    assert (report.passed, report.metrics["alerts"]) == (True, ["QLiveDown"])
    await require_alerts(report, check, "QLiveDown", "QLiveRedisDown")
    assert not report.passed
