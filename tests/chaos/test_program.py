"""Real programs, of a line of shell each."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos import program as programs
from chaos.program import Program

a_program = pytest.mark.gen_test(timeout=30)
WAITS = "while :; do sleep 0.05; done"


def of(script: str, folder: Path) -> Program:
    words = ["sh", "-c", script]
    return Program(words, folder, {"PATH": "/usr/bin:/bin"}, folder / "log", says_ready=b"ready")


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.01)


async def ready(program: Program) -> None:
    await until(lambda: b"ready" in program.log.read_bytes() if program.log.exists() else False)


@a_program
async def test_a_program_that_ends_by_itself_is_told_of_and_started_again(tmp_path: Path) -> None:
    program = of("echo ready; exit 3", tmp_path)
    program.start()
    await until(lambda: program.starts == 2)
    await program.stop()
    assert program.bad_ends[0] == ("died_by_itself", "with status 3")


@a_program
async def test_a_start_may_fail(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ready, but that was another time\n")
    program = of("exit 1", tmp_path)
    program.start()
    await until(lambda: program.starts == 2)
    await program.stop()
    assert program.bad_ends == []


@a_program
async def test_a_kill_of_ours_is_no_end_of_its_own_but_the_next_one_may_be(tmp_path: Path) -> None:
    program = of(f"echo ready; test -e again && exit 3; touch again; {WAITS}", tmp_path)
    program.start()
    await until((tmp_path / "again").exists)
    program.knock_down()
    program.let_up()
    await until(lambda: program.starts == 3)
    await program.stop()
    assert set(program.bad_ends) == {("died_by_itself", "with status 3")}


@a_program
@pytest.mark.parametrize(("status", "bad"), [(0, []), (1, [("drain_failed", "with status 1")])])
async def test_who_is_asked_to_end_ends_well(tmp_path: Path, status: int, bad: object) -> None:
    program = of(f"trap 'exit {status}' TERM; echo ready; {WAITS}", tmp_path)
    program.start()
    await ready(program)
    await program.deploy()
    await until(lambda: program.starts == 2)
    assert program.bad_ends == bad
    await program.stop()


@a_program
async def test_who_does_not_end_is_killed_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "END_SECONDS", 0.1)
    program = of(f"trap '' TERM; echo ready; {WAITS}", tmp_path)
    program.start()
    await ready(program)
    await program.deploy()
    program.send(signal.SIGKILL)
    await program.stop()
    assert program.bad_ends[0] == ("drain_killed", "did not end within 0.1 s")
