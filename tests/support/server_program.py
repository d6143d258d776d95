"""`python server.py` as a process of its own."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.database import new_folder
from tests.support.no_limits import server_environment
from tests.support.paths import ROOT
from tests.support.ports import prefer_free_port
from tests.support.waiting import until

EXIT_SECONDS = 120.0
START_SECONDS = 120.0


class ServerProgram:
    """`python server.py` without rate limits, with data, secrets and `server.log` in `folder`.

    `settings` go to its environment.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._log = folder / "server.log"
        given = {f"QLIVE_{name.upper()}": value for name, value in settings.items()}
        port = {"QLIVE_SERVER__PORT": "0", "QLIVE_SERVER__DRAIN_SECONDS": "1"}
        data = {"QLIVE_MONGODB__DATA_DIR": str(folder / "mongo")}
        self._environment = server_environment({**port, **data, **given})
        self._command: tuple[str, ...] = (sys.executable, "server.py")

    async def start(self, *arguments: str, log: Any = None) -> asyncio.subprocess.Process:
        """Without `log` the caller must read stderr, or the process blocks on a full pipe."""
        return await asyncio.create_subprocess_exec(
            *(*self._command, *arguments),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=log or asyncio.subprocess.PIPE,
            start_new_session=True,  # a test may interrupt it as a terminal does
        )

    async def serve(self, *arguments: str) -> asyncio.subprocess.Process:
        """The server, which logs to `server.log` in its folder."""
        with self._log.open("ab") as log:
            return await self.start(*arguments, log=log)

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        """(exit status, stdout, stderr)."""
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), START_SECONDS)
        return process.returncode, out.decode(), err.decode()

    @asynccontextmanager
    async def serving(
        self, *arguments: str
    ) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
        """A server that is ready, and its address; killed if the test leaves it running."""
        logged = self._log.stat().st_size if self._log.exists() else 0
        process = await self.serve(*arguments)
        try:
            yield process, await until(lambda: self._address(process, logged), START_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    def _address(self, process: asyncio.subprocess.Process, logged: int) -> str:
        """That of the line `server_listening` beyond the first bytes; "" if there is none yet."""
        log = self._log.read_bytes()[logged:].decode()
        assert process.returncode is None, log
        found = re.search(r".*server_listening.*", log)
        address = found and re.search(r"http://127\.0\.0\.1:[0-9]+", found[0])
        return address[0] if address else ""

    def processes(self) -> list[str]:
        """Command lines of all processes that name this folder."""
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            if str(self.folder) in line:
                lines.append(line)
        return lines


async def exit_status(process: asyncio.subprocess.Process) -> int:
    """Waits for the process to end."""
    return await asyncio.wait_for(process.wait(), EXIT_SECONDS)


@pytest.fixture
def data_folder(secrets_file: Path) -> Iterator[Path]:
    """A folder for data, with the development secrets in it."""
    folder = new_folder()
    shutil.copy(secrets_file, folder / "dev-secrets.json")
    prefer_free_port(folder / "mongo")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
