"""How a supervisor watches one worker; the worker is a stand-in that only knows its lifeline."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import worker as module
from worker import Worker

a_watch = pytest.mark.gen_test(timeout=30)
STAND_IN = """
import socket, sys, time
lifeline = socket.socket(fileno=int(sys.argv[sys.argv.index("--lifeline") + 1]))
lifeline.sendall(b"ready\\n")
how = sys.argv[-1]
if how == "hangs up":
    lifeline.close()
while True:
    if how == "beats":
        lifeline.sendall(b".")
    time.sleep(0.05)
"""
Start = Callable[[str], Awaitable[Worker]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(module, "PROGRAM", program)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(module, "OVERTIME_SECONDS", 0.5)

    async def run(how: str) -> Worker:
        worker = await Worker.start([], [how], {}, [])
        assert await worker.serves(20)
        return worker

    return run


@pytest.mark.parametrize("how", ["falls silent", "hangs up"])
@a_watch
async def test_a_worker_that_has_stopped_in_silence_is_killed(start: Start, how: str) -> None:
    worker = await start(how)
    assert await worker.watched() == -signal.SIGKILL


@a_watch
async def test_a_supervisor_that_was_stopped_itself_kills_nobody(start: Start) -> None:
    worker = await start("beats")
    watching = asyncio.ensure_future(worker.watched())
    await asyncio.sleep(0)
    for _ in range(2):
        time.sleep(1.0)  # as if this whole process were stopped, twice
        await asyncio.sleep(0.2)
    assert not watching.done()
    assert await worker.end(20) == -signal.SIGTERM
    assert await watching == -signal.SIGTERM
