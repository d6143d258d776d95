"""The command line: each run is reported and can be repeated, whatever its outcome."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chaos import __main__ as command
from chaos.report import RunReport
from chaos.run import RunSize
from chaos.scenario import RunConfig, Scenario

SIZE = RunSize(clients=6, rooms=2, processes=1)


async def passes(config: RunConfig) -> RunReport:
    return RunReport("passes", config.seed, str(config.folder), 0.0)


async def crashes(config: RunConfig) -> RunReport:
    if config.seed == 1:
        raise RuntimeError("no room")
    return await passes(config)


async def hangs(_config: RunConfig) -> RunReport:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command.structlog, "configure", lambda **_: None)
    return tmp_path


def exit_status(*arguments: str) -> int:
    """Run the command in a thread, since each run has an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(command.main, list(arguments)).result()


def set_storm(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    monkeypatch.setitem(command.SCENARIOS, "storm", Scenario(run, "", SIZE, 0.0))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def test_other_runs_continue_after_a_crashed_run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_storm(monkeypatch, crashes)
    assert exit_status("storms", "--seeds", "3") == 1
    assert [line["violations"] for line in lines(folder)] == [{"crashed": 1}, {}, {}]
    assert "storm 1: FAILED (crashed: 1)" in capsys.readouterr().out


def test_a_hanging_run_is_ended_and_reported(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    set_storm(monkeypatch, hangs)
    monkeypatch.setattr(command, "LIMIT_SECONDS", 0.05)
    assert exit_status("storm") == 1
    assert lines(folder)[0]["examples"] == {"crashed": ["TimeoutError()"]}


def test_a_failed_run_prints_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_storm(monkeypatch, crashes)
    exit_status("storm", "--seconds", "2.5")
    repeat = "python -m chaos storm --seed 1 --seconds 2.5"
    assert f"FAILED: {repeat}\n" in capsys.readouterr().err
    assert lines(folder)[0]["requested_seconds"] == 2.5


def test_crash_paths_are_selected_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    config = RunConfig(Path(), SIZE, 2, 4, ("withdrawal", "refund_case"))
    repeat = command.repeat_command("crash", config)
    assert repeat.endswith(" --paths withdrawal,refund_case")
    with pytest.raises(SystemExit):
        command.main(["crash", "--paths", "withdrawal,refund"])
    assert "refund: use gift, gift_outside" in capsys.readouterr().err
