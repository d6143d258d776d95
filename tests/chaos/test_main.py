"""The command line: whatever becomes of a run, it is reported and can be repeated."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chaos import __main__ as command
from chaos.play import Play, Scenario
from chaos.report import Report
from chaos.scene import Size

SIZE = Size(clients=6, rooms=2, processes=1)


async def keeps(play: Play) -> Report:
    return Report("kept", play.seed, str(play.folder), 0.0)


async def crashes(play: Play) -> Report:
    if play.seed == 1:
        raise RuntimeError("no room")
    return await keeps(play)


async def hangs(_play: Play) -> Report:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command.structlog, "configure", lambda **_: None)
    return tmp_path


def asked(*words: str) -> int:
    """The exit status; in a thread, since each run has a loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(command.main, list(words)).result()


def plays(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    monkeypatch.setitem(command.SCENARIOS, "storm", Scenario(run, "", (SIZE, 0.0), (SIZE, 0.0)))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def test_after_a_run_that_crashed_the_others_still_have_theirs(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    plays(monkeypatch, crashes)
    assert asked("storms", "--seeds", "3") == 1
    assert [line["faults"] for line in lines(folder)] == [{"crashed": 1}, {}, {}]
    assert "crashed: 1" in (folder / "report.md").read_text()


def test_a_run_that_hangs_is_ended_and_reported(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    plays(monkeypatch, hangs)
    monkeypatch.setattr(command, "LIMIT_SECONDS", 0.05)
    assert asked("storm") == 1
    assert lines(folder)[0]["examples"] == {"crashed": ["TimeoutError()"]}


def test_a_broken_run_says_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plays(monkeypatch, crashes)
    words = ["--seconds", "2.5", "--clients", "8", "--rooms", "3", "--processes", "2", "--full"]
    asked("storm", *words)
    again = f"python -m chaos storm --seed 1 {' '.join(words)}"
    assert f"BROKEN: {again}\n" in capsys.readouterr().err
    line = lines(folder)[0]
    assert line["lasting"] == 2.5
    assert (line["size"]["clients"], line["size"]["rooms"], line["size"]["processes"]) == (8, 3, 2)


def test_what_was_not_asked_for_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, keeps)
    play = Play(Path(), SIZE, 60, 4)
    assert command.again("storm", play, full=False) == (
        "python -m chaos storm --seed 4 --seconds 60 --clients 6 --rooms 2 --processes 1"
    )
