"""Supervision of real programs, each a line of shell."""

import signal
from pathlib import Path

import pytest

from chaos import program as program_module
from chaos.program import Program
from tests.support.waiting import until

WAIT_FOREVER = "while :; do sleep 0.05; done"


def shell(script: str, folder: Path) -> Program:
    command = ["sh", "-c", script]
    environment = {"PATH": "/usr/bin:/bin"}
    return Program(command, folder, environment, folder / "log", ready_marker=b"ready")


async def ready(program: Program) -> None:
    await until(lambda: b"ready" in program.log.read_bytes() if program.log.exists() else False)


async def test_an_unexpected_exit_is_recorded_and_the_program_restarted(tmp_path: Path) -> None:
    program = shell("echo ready; exit 3", tmp_path)
    program.start()
    await until(lambda: program.starts == 2)
    await program.stop()
    assert program.bad_exits[0] == ("unexpected_exit", "exit status 3")


async def test_an_exit_before_it_is_ready_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ready, in an earlier run\n")
    program = shell("exit 1", tmp_path)
    program.start()
    await until(lambda: program.starts == 2)
    await program.stop()
    assert program.bad_exits == []


async def test_a_requested_kill_does_not_excuse_the_next_exit(tmp_path: Path) -> None:
    program = shell(f"echo ready; test -e again && exit 3; touch again; {WAIT_FOREVER}", tmp_path)
    program.start()
    await until((tmp_path / "again").exists)
    program.hold_down()
    program.release()
    await until(lambda: program.starts == 3)
    await program.stop()
    assert set(program.bad_exits) == {("unexpected_exit", "exit status 3")}


@pytest.mark.parametrize(("status", "bad"), [(0, []), (1, [("drain_failed", "exit status 1")])])
async def test_a_requested_exit_must_have_status_zero(
    tmp_path: Path, status: int, bad: object
) -> None:
    program = shell(f"trap 'exit {status}' TERM; echo ready; {WAIT_FOREVER}", tmp_path)
    program.start()
    await ready(program)
    await program.restart()
    await until(lambda: program.starts == 2)
    assert program.bad_exits == bad
    await program.stop()


async def test_a_program_that_ignores_sigterm_is_killed_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "STOP_SECONDS", 0.1)
    program = shell(f"trap '' TERM; echo ready; {WAIT_FOREVER}", tmp_path)
    program.start()
    await ready(program)
    await program.restart()
    program.send_signal(signal.SIGKILL)
    await program.stop()
    assert program.bad_exits[0] == ("drain_timeout", "no exit within 0.1 s")
