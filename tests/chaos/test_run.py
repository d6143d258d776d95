"""The command line and its reports: each run can be repeated, whatever its outcome."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chaos import __main__ as command
from chaos.faults import TRACKS, make_plan
from chaos.fleet import RunSize
from chaos.report import RunReport
from chaos.scenario import RunConfig, Scenario

SIZE = RunSize(clients=6, rooms=2, processes=1)


# ---- command line


async def crashes(config: RunConfig, _report: RunReport) -> None:
    if config.seed == 1:
        raise RuntimeError("no room")


async def hangs(_config: RunConfig, _report: RunReport) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command.structlog, "configure", lambda **_: None)

    def run(storm: Any, *arguments: str) -> int:
        """The status of the command in a thread, since each run has an event loop of its own."""
        monkeypatch.setitem(command.SCENARIOS, "storm", Scenario(storm, "", SIZE, 0.0))
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(command.main, list(arguments)).result()

    return run


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def test_other_runs_continue_after_a_crashed_run_whose_command_is_printed(
    exit_status: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(crashes, "storms", "--seeds", "3", "--seconds", "2.5") == 1
    assert [line["violations"] for line in lines(tmp_path)] == [{"crashed": 1}, {}, {}]
    assert lines(tmp_path)[0]["requested_seconds"] == 2.5
    printed = capsys.readouterr()
    assert "storm 1: FAILED (crashed: 1)" in printed.out
    assert "FAILED: python -m chaos storm --seed 1 --seconds 2.5\n" in printed.err


def test_a_hanging_run_is_ended_and_reported(
    exit_status: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LIMIT_SECONDS", 0.05)
    assert exit_status(hangs, "storm") == 1
    assert lines(tmp_path)[0]["examples"] == {"crashed": ["TimeoutError()"]}


# ---- reports


def test_missed_goals_and_violations_fail_the_run_and_are_listed() -> None:
    metrics = {"recovery": 9.0, "deliveries": 10, "unknown": None}
    report = RunReport("storm", 7, seconds=60.0, metrics=metrics)
    report.require("recovery", 10)
    report.require("deliveries", 10, at_least=True)
    assert report.passed
    report.require("recovery", 8)
    report.require("deliveries", 11, at_least=True)
    report.require("unknown", 1)
    missed = ["recovery 9.0, at most 8", "deliveries 10, at least 11", "unknown None, at most 1"]
    assert (report.missed, report.passed) == (missed, False)
    failed = RunReport("storm", 7, seconds=60.0)
    for number in range(2):
        failed.violations.add("gap", str(number))
    assert not failed.passed
    assert failed.summary.startswith("storm 7: FAILED (gap: 2), 60.0 s")
    line = json.loads(failed.line())
    assert (line["scenario"], line["seed"], line["passed"]) == ("storm", 7, False)
    assert (line["violations"], line["examples"]) == ({"gap": 2}, {"gap": ["0", "1"]})


# ---- plans of faults


def test_faults_are_reproducible_of_every_kind_and_do_not_overlap_on_a_track() -> None:
    seconds, nodes = 60.0, 4
    plans = [make_plan(seed, seconds, nodes) for seed in range(20)]
    assert plans[3] == make_plan(3, seconds, nodes) != plans[4]
    kinds = {(fault.track, fault.kind) for plan in plans for fault in plan}
    assert kinds == {(track, kind) for track, kinds in TRACKS.items() for kind in kinds}
    for plan in plans:
        assert plan == sorted(plan, key=lambda fault: fault.at)
        assert all(0 <= f.at <= f.at + f.duration <= seconds + 0.02 for f in plan)
        assert all(fault.node in range(nodes) for fault in plan)
        for track in TRACKS:
            of_track = [fault for fault in plan if fault.track == track]
            for before, after in pairwise(of_track):
                assert before.at + before.duration < after.at
