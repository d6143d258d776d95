import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from tests.conftest import MEMORY
from tests.phones import Street
from tests.realtime.listening import farewell

pytestmark = [pytest.mark.programs, pytest.mark.linux]

ROOT = Path(__file__).parents[1]
a_real_program = pytest.mark.gen_test(timeout=60)


class Program:
    """`python server.py` with an environment of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        given = {f"QLIVE_{name.upper()}": value for name, value in settings.items()}
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
        port = {"QLIVE_SERVER__PORT": "0", "QLIVE_SERVER__DRAIN_SECONDS": "1"}
        data = {"QLIVE_MONGODB__DATA_DIR": str(folder / "mongo")}
        self._environment = {**inherited, **port, **data, **given}

    async def start(self, *words: str, log: Any = None) -> asyncio.subprocess.Process:
        """Without a `log` its complaints have to be read, or it waits for that in the end."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "server.py", *words),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=log or asyncio.subprocess.PIPE,
        )

    async def serve(self) -> asyncio.subprocess.Process:
        """The server, with a log of its own."""
        with (self.folder / "server.log").open("ab") as log:
            return await self.start(log=log)

    async def run(self, *words: str) -> tuple[int | None, str, str]:
        """(exit status, what it said, what it complained of)."""
        process = await self.start(*words)
        out, err = await asyncio.wait_for(process.communicate(), 120)
        return process.returncode, out.decode(), err.decode()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
        """A server that answers, and its address; killed if the test leaves it running."""
        process = await self.serve()
        try:
            assert process.stdout
            said = await asyncio.wait_for(process.stdout.readuntil(b"Ctrl-C stops"), 120)
            address = re.search(r"http://127\.0\.0\.1:[0-9]+", said.decode())
            assert address, said
            yield process, address[0]
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    def processes(self) -> list[str]:
        """Command lines of whatever still works on this folder."""
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            if str(self.folder) in line:
                lines.append(line)
        return lines


@pytest.fixture
def folder(secrets_file: Path, settings: Any) -> Iterator[Path]:
    """A place for data, in memory where there is any, with the secrets already made."""
    folder = Path(tempfile.mkdtemp(prefix="qlive-", dir=MEMORY if MEMORY.is_dir() else None))
    shutil.copy(secrets_file, folder / "dev-secrets.json")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def program(folder: Path) -> Program:
    """On an embedded MongoDB of its own."""
    return Program(folder)


@pytest.fixture
def guest(folder: Path, mongo_uri: str) -> Program:
    """On the tests' MongoDB, which is there already."""
    return Program(folder, mongodb__uri=mongo_uri, mongodb__database="qlive_test_program")


async def stopped(process: asyncio.subprocess.Process, number: int) -> int:
    process.send_signal(number)
    return await asyncio.wait_for(process.wait(), 60)


@a_real_program
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_starts_says_where_serves_and_leaves_nothing_running(
    program: Program, number: int
) -> None:
    async with program.serving() as (process, address):
        street = Street(address, "")
        assert (await street.ask("GET", "/readyz")).status == 200
        anna = await street.person("anna", 2)
        assert (await anna.get("get_livelist/")).ok() == []
        await street.close()
        assert any("mongod" in line for line in program.processes())
        assert await stopped(process, number) == 0
        assert program.processes() == []


@a_real_program
async def test_sockets_are_told_when_to_come_back(
    guest: Program, settings: tuple[Settings, Any]
) -> None:
    async with guest.serving() as (process, address):
        street = Street(address, settings[0].ops.token)
        host = await street.host()
        seated = await host.connect()
        assert (await seated.frame())["type"] == "snapshot"
        process.terminate()
        bye, code = await farewell(seated)
        assert (bye["code"], code, bye["reconnect"]) == (4000, 4000, True)
        assert 100 <= bye["retry_ms"] <= 1000
        assert await asyncio.wait_for(process.wait(), 60) == 0
        await street.close()


@a_real_program
async def test_a_setting_nobody_knows_is_named(folder: Path) -> None:
    status, said, complaint = await Program(folder, server__prot="1").run()
    assert (status, said) == (2, "")
    assert "QLIVE_SERVER__PROT: unknown setting" in complaint
    assert "Traceback" not in complaint


@a_real_program
async def test_a_port_in_use_is_said_plainly(folder: Path, mongo_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        program = Program(folder, server__port=port, mongodb__uri=mongo_uri)
        status, said, complaint = await program.run()
    assert (status, said) == (1, "")
    assert complaint == f"127.0.0.1:{port}: Address already in use; see server.port.\n"


@a_real_program
async def test_commands_work_beside_a_server_and_without_one(
    program: Program, settings: tuple[Settings, Any]
) -> None:
    async with program.serving() as (process, address):
        street = Street(address, settings[0].ops.token)
        anna = await street.person("anna", 2)
        status, said, _ = await program.run("grant", anna.id, "70", "--reason", "test")
        assert (status, said) == (0, f"{anna.id} now has 70 gold and 0 income.\n")
        assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 70
        refused = await anna.post("qlive_room/matchmaker_enter/")
        assert refused.refusal == (403, "not_matchmaker")
        status, said, _ = await program.run("matchmaker", anna.id)
        assert (status, said) == (0, f"{anna.id} is now a matchmaker.\n")
        assert (await anna.post("qlive_room/matchmaker_enter/")).ok()["live_id"]
        await street.close()
        assert await stopped(process, signal.SIGTERM) == 0
    status, said, _ = await program.run("check-ledger")
    assert (status, said) == (0, "Every unit of gold and income is accounted for.\n")
    status, said, _ = await program.run("rebuild-ranks")
    assert (status, said) == (0, "Every ranking was what the book says.\n")
    status, said, _ = await program.run("grant", anna.id, "5", "--reason", "more")
    assert (status, said) == (0, f"{anna.id} now has 75 gold and 0 income.\n")
    assert program.processes() == []


@a_real_program
@pytest.mark.parametrize(
    "words",
    [
        ("grant", "10000000", "5", "--reason", "nobody"),
        ("grant", "10000000", "-5", "--reason", "nothing"),
        ("matchmaker", "10000000"),
        ("matchmaker", "10000000", "--off"),
    ],
)
async def test_a_command_that_cannot_be_done_says_why(guest: Program, words: Any) -> None:
    status, said, complaint = await guest.run(*words)
    assert (status, said) == (1, "")
    assert len(complaint.strip().splitlines()) == 1, complaint
