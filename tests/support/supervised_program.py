"""A supervisor with two workers as processes, and clients that any worker may answer."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import aiohttp
import pytest

from tests.support.paths import ROOT
from tests.support.server_program import READY, ServerProgram
from tests.support.waiting import until

WAIT_SECONDS = 60.0
NO_REDIS = "redis://127.0.0.1:1/0"
"""Workers start without Redis; they only deliver more slowly."""
POLLERS = 4


class SupervisedProgram(ServerProgram):
    """`python server.py` with two workers, in a session of its own, with a JSON log."""

    def __init__(self, folder: Path, **settings: str) -> None:
        given = {"server__workers": "2", "redis__url": NO_REDIS, "logging__json": "true"}
        super().__init__(folder, **{**given, **settings})
        self._environment["RUNTIME_DIRECTORY"] = str(folder)
        self.command = (sys.executable, "server.py")
        # `processes` finds ours by this path on their command lines.
        self.settings_file = folder / "settings.yaml"
        shutil.copy(ROOT / "settings.yaml", self.settings_file)

    async def start(self, *arguments: str, log: Any = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(*self.command, "--settings", str(self.settings_file), *arguments),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=log or asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
        try:
            async with super().serving() as given:
                yield given
        finally:  # also after a failure nothing may be left for the next test
            await until(lambda: not self.processes(), WAIT_SECONDS)

    def log(self) -> list[dict[str, Any]]:
        """The complete lines of the log so far."""
        lines = (self.folder / "server.log").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("}\n")]

    def log_events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [entry for entry in self.log() if entry.get("event") == event]

    def metrics_folders(self) -> list[Path]:
        """The folders with the metrics of workers."""
        return list(self.folder.glob("qlive-metrics-*"))

    def serving_pids(self) -> list[int]:
        """The process id of the newest worker of each slot."""
        ready = [entry for entry in self.log() if entry.get("event") == "worker_ready"]
        newest = {entry["slot"]: entry["pid"] for entry in ready}
        return [newest[slot] for slot in sorted(newest)]

    async def successor_pid(self, slot: int, pid: int) -> int:
        """Waits for the worker that replaces `pid`."""
        await until(lambda: self.serving_pids()[slot] != pid, WAIT_SECONDS)
        return self.serving_pids()[slot]


class SupervisedCluster(SupervisedProgram):
    """Shared by tests; each must leave two workers serving."""

    process: subprocess.Popen[bytes]
    address: str
    log_start = 0
    """`log_events` ignores the lines before this."""

    def start_up(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--settings", str(self.settings_file)],
                cwd=ROOT,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        welcome = self._stdout.readline()
        assert READY in welcome, f"it did not start: {self.log()}"
        self.address = json.loads(welcome)["address"]

    @property
    def _stdout(self) -> IO[bytes]:
        assert self.process.stdout
        return self.process.stdout

    def shut_down(self) -> None:
        """Stops it with SIGTERM; fails if it leaves a process, the port or a traceback.

        Also if it has printed anything but JSON.
        """
        self.process.terminate()
        try:
            assert self.process.wait(WAIT_SECONDS) == 0
            assert self.processes() + self.metrics_folders() == []
            log = (self.folder / "server.log").read_text()
            assert "Traceback" not in log
            assert [json.loads(line) for line in log.splitlines()][-1]["event"] == "server_stopped"
            assert self._stdout.read() == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(self.address.rpartition(":")[2])))
        finally:
            self.process.kill()
            self.process.communicate()

    def log_events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event since the test began."""
        return [entry for entry in self.log()[self.log_start :] if entry.get("event") == event]


@asynccontextmanager
async def fresh_connections() -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a new connection for every request, so that any worker may answer."""
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=WAIT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        yield http


async def answering_pid(http: aiohttp.ClientSession, address: str) -> int:
    """The process id of the worker that answers this request."""
    async with http.get(f"{address}/metrics") as answer:
        found = re.search(r"^qlive_process_id (\S+)$", await answer.text(), re.MULTILINE)
    assert found
    return int(float(found[1]))


async def answering_pids(address: str, count: int) -> set[int]:
    """Asks until `count` workers have answered."""
    found: set[int] = set()
    async with fresh_connections() as http, asyncio.timeout(WAIT_SECONDS):
        while len(found) < count:
            found.add(await answering_pid(http, address))
    return found


class HealthPoller:
    """Requests /healthz continuously and counts the outcomes."""

    def __init__(self, address: str) -> None:
        self.outcomes: Counter[str] = Counter()
        """By HTTP status, or by the name of the exception."""
        self._address = address

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """While the block runs, and for 20 successful requests before and after it."""
        async with fresh_connections() as http:
            tasks = [asyncio.create_task(self._poll(http)) for _ in range(POLLERS)]
            await self._wait_for_answers(20)
            try:
                yield
                await self._wait_for_answers(20)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_answers(self, count: int) -> None:
        wanted = self.outcomes["200"] + count
        await until(lambda: self.outcomes["200"] >= wanted, WAIT_SECONDS)

    async def _poll(self, http: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with http.get(f"{self._address}/healthz") as answer:
                    await answer.read()
                    outcome = str(answer.status)
            except (aiohttp.ClientError, TimeoutError) as failure:
                outcome = type(failure).__name__
            self.outcomes[outcome] += 1
            await asyncio.sleep(0.005)


def has_exited(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True
