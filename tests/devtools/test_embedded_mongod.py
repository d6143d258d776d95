"""EmbeddedMongod with a real mongod: start, end, stop and error messages."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from structlog.testing import capture_logs

from devtools import embedded_mongod as module
from devtools.embedded_mongod import EmbeddedMongod, MongodStartFailed
from tests.support.database import new_folder
from tests.support.paths import ROOT
from tests.support.ports import prefer_free_port
from tests.support.waiting import recorded_timeouts, until

pytestmark = pytest.mark.programs


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = new_folder()
    yield folder / "mongo"
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[tuple[EmbeddedMongod, str]]:
    if not data_dir.exists():
        prefer_free_port(data_dir)
    mongod = EmbeddedMongod(data_dir)
    try:
        yield mongod, await mongod.start()
    finally:
        await mongod.stop()


def connect(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(uri, serverSelectionTimeoutMS=20_000)


def write_program(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return path


def pid_in(data_dir: Path) -> int:
    return int((data_dir / "mongod.lock").read_text())


def has_exited(pid: int) -> bool:
    """On Linux also true for a zombie that its new parent has not reaped yet."""
    try:
        if sys.platform == "linux":
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return False


async def test_restarts_keep_the_data_also_after_a_kill_and_the_port_while_it_is_free(
    data_dir: Path,
) -> None:
    """The first start finds stale files, which it ignores."""
    data_dir.mkdir()
    (data_dir / "mongod.lock").write_text("4194304\n")
    (data_dir / "port").write_text("")
    async with running(data_dir) as (mongod, uri), connect(uri) as client:
        async with client.start_session() as session, await session.start_transaction():
            await client.app.things.insert_one({"name": "ring"}, session=session)
        port = mongod.port
        assert (data_dir / "port").read_text() == f"{port}\n"
    async with running(data_dir) as (mongod, uri):
        async with connect(uri) as client:
            assert (await client.app.things.find_one({}, {"_id": 0})) == {"name": "ring"}
        assert mongod.port == port
        watching = asyncio.create_task(mongod.watch())
        with capture_logs() as lines:
            os.kill(pid_in(data_dir), signal.SIGKILL)
            await watching
    assert [(line["event"], line["owner"]) for line in lines] == [("mongod_ended", "a command")]
    other_server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with other_server, running(data_dir) as (mongod, uri):
        assert mongod.port != port
        async with connect(uri) as client:
            await client.app.things.insert_one({"name": "fan"})
            assert await client.app.things.count_documents({}) == 2


SERVER = """
import asyncio, sys
from pathlib import Path
from devtools.embedded_mongod import EmbeddedMongod

async def serve():
    await EmbeddedMongod(Path(sys.argv[1])).start()
    print("started", flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


@pytest.mark.linux
async def test_mongod_dies_with_a_killed_server_and_the_next_one_starts(
    data_dir: Path,
) -> None:
    prefer_free_port(data_dir)
    command = (sys.executable, "-c", SERVER, str(data_dir))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout
        assert server.stdout.readline() == b"started\n"
        pid = pid_in(data_dir)
        server.kill()
        server.wait()
    async with running(data_dir):
        assert pid_in(data_dir) != pid
    await until(lambda: has_exited(pid))


async def test_mongod_does_not_start_if_its_parent_has_exited(data_dir: Path) -> None:
    other_parent = "0"
    wrapper = (sys.executable, "-c", module.DIE_WITH_PARENT, other_parent, "/bin/echo", "began")
    result = subprocess.run(wrapper, capture_output=True, text=True)
    assert result.returncode == 1
    assert "began\n" not in result.stdout


async def test_second_process_uses_the_running_mongod_unless_it_serves_beside_a_command(
    mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It joins the mongod of all tests."""
    async with connect(mongo_uri) as client:
        options = (await client.admin.command("getCmdLineOpts"))["parsed"]
    folder = Path(options["storage"]["dbPath"])
    joining = EmbeddedMongod(folder)
    assert await joining.start() == mongo_uri
    await asyncio.wait_for(joining.stop(), 20)
    async with connect(mongo_uri) as client:
        assert await client.admin.command("ping"), "it runs on"
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert os.getpgid(pid_in(folder)) != os.getpgid(0), "Ctrl-C in the terminal leaves it running"
    monkeypatch.setattr(module, "READY_SECONDS", 0.1)
    with pytest.raises(MongodStartFailed, match="another process uses .*mongodb.data_dir"):
        await EmbeddedMongod(folder, address="http://127.0.0.1:8001").start()


async def test_failed_start_releases_the_data_folder(data_dir: Path) -> None:
    data_dir.mkdir()
    broken = write_program(data_dir / "broken", "exit 9")
    with pytest.raises(MongodStartFailed, match="ended with code 9: see the end of .*mongod.log"):
        await EmbeddedMongod(data_dir, broken).start()
    assert not module.is_locked(data_dir / module.LOCK)
    assert not module.is_locked(data_dir / "mongod.lock")


async def test_mongod_that_never_listens_is_killed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    limits = recorded_timeouts(monkeypatch, module)
    data_dir.mkdir()
    pid_file = data_dir / "pid"
    script = ("trap '' TERM", f"echo $$ >{pid_file}", "while :; do sleep 0.1; done")
    stuck = write_program(data_dir / "stuck", *script)
    starting = asyncio.create_task(EmbeddedMongod(data_dir, stuck).start())
    await until(lambda: pid_file.exists() and pid_file.read_text())
    limits[0].reschedule(0)
    with pytest.raises(MongodStartFailed, match="was not ready within 60.0 s: see .*mongod.log"):
        await starting
    pid = int(pid_file.read_text())
    await until(lambda: has_exited(pid))


def test_without_a_wheel_mongod_is_taken_from_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MONGOD", raising=False)
    binary = tmp_path / "mongod"
    for package in (None, ModuleSpec("fiftyone", None, is_package=True)):
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda _, found=package: found)
        binary.unlink(missing_ok=True)
        with pytest.raises(MongodStartFailed, match="make setup.*mongod 6.0 or newer.*mongodb.uri"):
            module.find_binary()
        write_program(binary, "exit 0")
        assert module.find_binary() == binary


def test_another_mongod_is_taken_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = tmp_path / "mongod-7"
    monkeypatch.setenv("MONGOD", str(binary))
    with pytest.raises(MongodStartFailed, match="MONGOD names no program: .*mongod-7"):
        module.find_binary()
    write_program(binary, "exit 0")
    assert module.find_binary() == binary
