"""Supervision of one worker process, with a stub that only knows its supervisor link."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runtime import worker as module
from runtime.worker import Worker

worker_test = pytest.mark.gen_test(timeout=30)
STUB = """
import socket, sys, time
link = socket.socket(fileno=int(sys.argv[sys.argv.index("--lifeline") + 1]))
link.sendall(b"ready\\n")
behaviour = sys.argv[-1]
if behaviour == "closes":
    link.close()
while True:
    if behaviour == "beats":
        link.sendall(b".")
    time.sleep(0.05)
"""
Start = Callable[[str], Awaitable[Worker]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    program = tmp_path / "stub.py"
    program.write_text(STUB)
    monkeypatch.setattr(module, "PROGRAM", program)
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(module, "KILL_GRACE_SECONDS", 0.5)

    async def run(behaviour: str) -> Worker:
        worker = await Worker.start([], [behaviour], {}, [])
        assert await worker.wait_ready(20)
        return worker

    return run


@pytest.mark.parametrize("behaviour", ["is silent", "closes"])
@worker_test
async def test_worker_without_heartbeats_is_killed(start: Start, behaviour: str) -> None:
    worker = await start(behaviour)
    assert await worker.supervise() == -signal.SIGKILL


@worker_test
async def test_supervisor_that_was_suspended_does_not_kill_its_workers(start: Start) -> None:
    worker = await start("beats")
    watching = asyncio.ensure_future(worker.supervise())
    await asyncio.sleep(0)
    for _ in range(2):
        time.sleep(1.0)  # blocks the event loop, as if the supervisor were suspended
        await asyncio.sleep(0.2)
    assert not watching.done()
    assert await worker.terminate(20) == -signal.SIGTERM
    assert await watching == -signal.SIGTERM
