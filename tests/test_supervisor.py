"""Several real processes on one port, and what happens to them."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pymongo import MongoClient

import server as server_module
from server import Server
from settings import BadSettings, Settings, load
from supervisor import Supervisor
from tests import test_server
from tests.phones import Street
from tests.ports import free_port
from tests.realtime.listening import farewell, until
from tests.test_server import ROOT, Program

pytestmark = [pytest.mark.programs, pytest.mark.linux]

PATIENCE = 60.0
NO_REDIS = "redis://127.0.0.1:1/0"  # an absent Redis costs speed, nothing that is tested here
DATABASE, OWN_DATABASE = "qlive_test_supervisor", "qlive_test_supervised"
folder = test_server.folder  # the fixture
several_real_programs = pytest.mark.gen_test(timeout=240)


class Supervised(Program):
    """`python server.py` with two workers, in a session of its own, with a log for machines."""

    def __init__(self, folder: Path, **settings: str) -> None:
        given = {"server__workers": "2", "redis__url": NO_REDIS, "logging__json": "true"}
        super().__init__(folder, **{**given, **settings})
        self.words = (sys.executable, "server.py")
        self.file = folder / "settings.yaml"  # its path tells our processes from others
        shutil.copy(ROOT / "settings.yaml", self.file)

    async def start(self, *words: str, log: Any = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(*self.words, "--settings", str(self.file), *words),
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
        finally:  # whatever went wrong, the next test begins alone
            await until(lambda: not self.processes(), PATIENCE)

    def log(self) -> list[dict[str, Any]]:
        """The whole lines of the log, so far."""
        lines = (self.folder / "server.log").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("}\n")]

    def told(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about this event."""
        return [entry for entry in self.log() if entry.get("event") == event]

    def serving_pids(self) -> list[int]:
        """The newest worker of each slot, by its process id."""
        served = [entry for entry in self.log() if entry.get("event") == "worker_serves"]
        newest = {entry["slot"]: entry["pid"] for entry in served}
        return [newest[slot] for slot in sorted(newest)]

    async def follower(self, slot: int, pid: int) -> int:
        """The worker that comes after that one."""
        await until(lambda: self.serving_pids()[slot] != pid, PATIENCE)
        return self.serving_pids()[slot]


class Cluster(Supervised):
    """One that outlives a test, which finds two workers serving and leaves it so."""

    process: subprocess.Popen[bytes]
    address: str
    begins = 0

    def start_up(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.words, "--settings", str(self.file)],
                cwd=ROOT,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.process.stdout
        for line in self.process.stdout:
            if found := re.search(rb"serves on (http://\S+)", line):
                self.address = found[1].decode()
            if b"Ctrl-C stops" in line:
                return
        raise AssertionError(f"it did not start: {self.log()}")

    def shut_down(self) -> None:
        """As an operator does; nothing is left running."""
        self.process.terminate()
        try:
            assert self.process.wait(PATIENCE) == 0
            assert self.processes() == []
            assert "Traceback" not in (self.folder / "server.log").read_text()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(self.address.rpartition(":")[2])))
        finally:
            self.process.kill()
            self.process.communicate()

    def told(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about this event since the test began."""
        return [entry for entry in self.log()[self.begins :] if entry.get("event") == event]


@pytest.fixture
def supervised(folder: Path, mongo: MongoClient[Any], mongo_uri: str) -> Supervised:
    """On the tests' MongoDB, with a database that is not there yet."""
    mongo.drop_database(OWN_DATABASE)
    return Supervised(folder, mongodb__uri=mongo_uri, mongodb__database=OWN_DATABASE)


@pytest.fixture(scope="module")
def running_cluster(
    mongo: MongoClient[Any], mongo_uri: str, secrets_file: Path
) -> Iterator[Cluster]:
    """On the tests' MongoDB, with a database that is not there yet."""
    mongo.drop_database(DATABASE)
    with tempfile.TemporaryDirectory(prefix="qlive-") as folder:
        shutil.copy(secrets_file, folder)
        cluster = Cluster(Path(folder), mongodb__uri=mongo_uri, mongodb__database=DATABASE)
        cluster.start_up()
        try:
            yield cluster
        finally:
            cluster.shut_down()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Cluster:
    running_cluster.begins = len(running_cluster.log())
    return running_cluster


@asynccontextmanager
async def strangers() -> AsyncIterator[aiohttp.ClientSession]:
    """Every request comes on a connection of its own, so that any worker may get it."""
    connector = aiohttp.TCPConnector(force_close=True)
    patience = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as http:
        yield http


async def answering_pid(http: aiohttp.ClientSession, address: str) -> int:
    async with http.get(f"{address}/metrics") as answer:
        said = re.search(r"^qlive_process_id (\S+)$", await answer.text(), re.MULTILINE)
    assert said
    return int(float(said[1]))


async def answering_pids(address: str, wanted: int) -> set[int]:
    """Whoever answers, until so many have."""
    found: set[int] = set()
    async with strangers() as http, asyncio.timeout(PATIENCE):
        while len(found) < wanted:
            found.add(await answering_pid(http, address))
    return found


class Crowd:
    """Strangers who ask one after the other, and what became of them."""

    def __init__(self, address: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._address = address

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """While the block runs, and a little before and after it."""
        async with strangers() as http:
            tasks = [asyncio.create_task(self._ask(http)) for _ in range(4)]
            await self._more(20)
            try:
                yield
                await self._more(20)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _more(self, count: int) -> None:
        wanted = self.outcomes["200"] + count
        await until(lambda: self.outcomes["200"] >= wanted, PATIENCE)

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with http.get(f"{self._address}/healthz") as answer:
                    await answer.read()
                    outcome = str(answer.status)
            except (aiohttp.ClientError, TimeoutError) as failure:
                outcome = type(failure).__name__
            self.outcomes[outcome] += 1
            await asyncio.sleep(0.005)


def gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


async def ended(process: asyncio.subprocess.Process) -> int:
    return await asyncio.wait_for(process.wait(), PATIENCE)


# ---- as a whole


@several_real_programs
async def test_two_workers_answer_on_one_port_and_the_first_data_are_stored_once(
    cluster: Cluster, mongo_uri: str
) -> None:
    assert await answering_pids(cluster.address, 2) == set(cluster.serving_pids())
    with MongoClient[Any](mongo_uri) as client:
        names = [row["name"] for row in client[DATABASE].gifts.find()]
        assert len(names) == len(set(names)) > 0
        assert client[DATABASE].configs.count_documents({"key": "INDEX_BANNER"}) == 1


@several_real_programs
async def test_a_login_goes_on_at_whichever_worker(cluster: Cluster) -> None:
    async with strangers() as http:
        street = Street(cluster.address, "")
        street._http = http
        before = await asked_of_wechat(street)
        people = [await street.person(f"anna{n}", 2) for n in range(20)]
        assert len({phone.id for phone in people}) == 20
        for phone in people:
            assert (await phone.get("qlive_user/get_userinfo/")).ok()["nickname"] == phone.name
        assert await asked_of_wechat(street) == before + 20


async def asked_of_wechat(street: Street) -> int:
    """Of the one simulator of all workers."""
    log = (await street.ask("GET", "/sim/log")).ok()["items"]
    return [row["service"] for row in log].count("wechat")


def interrupt_the_terminal(process: asyncio.subprocess.Process, _pids: list[int]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def tell_everybody_twice(process: asyncio.subprocess.Process, pids: list[int]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        for pid in (process.pid, *pids):
            os.kill(pid, number)


@several_real_programs
@pytest.mark.parametrize("tell", [interrupt_the_terminal, tell_everybody_twice])
async def test_told_to_stop_all_end_in_peace(
    folder: Path,
    tell: Callable[[asyncio.subprocess.Process, list[int]], None],
) -> None:
    supervised = Supervised(folder)  # on an embedded MongoDB of its own
    async with supervised.serving() as (process, _):
        # The supervisor, two workers, mongod.
        assert len(supervised.processes()) == 4
        tell(process, supervised.serving_pids())
        assert await ended(process) == 0
        assert supervised.processes() == []
    assert "Traceback" not in (folder / "server.log").read_text()
    assert not supervised.told("worker_died") + supervised.told("worker_killed")


@several_real_programs
async def test_told_to_stop_while_it_starts_it_leaves_nothing_running(
    folder: Path,
) -> None:
    supervised = Supervised(folder)
    process = await supervised.serve()
    await until(lambda: any(" worker " in line for line in supervised.processes()), PATIENCE)
    process.terminate()
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, said) == (0, b"")
    assert supervised.processes() == []


@several_real_programs
async def test_a_killed_supervisor_leaves_neither_workers_nor_mongod(
    folder: Path,
) -> None:
    supervised = Supervised(folder)
    async with supervised.serving() as (process, _):
        process.kill()
        assert await ended(process) == -signal.SIGKILL
        await until(lambda: not supervised.processes(), PATIENCE)
    assert len(supervised.told("supervisor_gone")) == 2


# ---- workers that die


@several_real_programs
async def test_a_killed_worker_is_replaced_and_the_port_never_refuses(
    cluster: Cluster,
) -> None:
    crowd, pid = Crowd(cluster.address), cluster.serving_pids()[1]
    async with crowd.asking():
        os.kill(pid, signal.SIGKILL)
        follower = await cluster.follower(1, pid)
    # Who was just being answered by it may see it go; nobody may find the door shut.
    assert set(crowd.outcomes) <= {"200", "ServerDisconnectedError", "ClientOSError"}
    assert crowd.outcomes.total() - crowd.outcomes["200"] <= 4, crowd.outcomes
    assert await answering_pids(cluster.address, 2) == {cluster.serving_pids()[0], follower}
    (death,) = cluster.told("worker_died")
    assert (death["pid"], death["exit_status"]) == (pid, -signal.SIGKILL)
    assert cluster.told("worker_follows")[0]["in_seconds"] == 0


@several_real_programs
async def test_who_queues_at_a_worker_that_dies_is_answered_by_the_next(
    cluster: Cluster,
) -> None:
    async with strangers() as http:
        pids = cluster.serving_pids()
        os.kill(pids[0], signal.SIGSTOP)
        asked = [asyncio.ensure_future(answering_pid(http, cluster.address)) for _ in range(20)]
        await until(lambda: any(one.done() for one in asked), PATIENCE)
        os.kill(pids[0], signal.SIGKILL)
        answers = Counter(await asyncio.gather(*asked))
        assert set(answers) == {await cluster.follower(0, pids[0]), pids[1]}


@several_real_programs
async def test_a_worker_that_dies_again_and_again_is_waited_for_longer_and_longer(
    supervised: Supervised,
) -> None:
    async with supervised.serving() as (process, address):
        good = supervised.file.read_text()
        supervised.file.write_text("prot: 1")
        os.kill(supervised.serving_pids()[1], signal.SIGKILL)
        await until(lambda: len(supervised.told("worker_follows")) == 4, PATIENCE)
        pauses = [entry["in_seconds"] for entry in supervised.told("worker_follows")]
        assert pauses == [0, 0.5, 1, 2]
        assert supervised.told("worker_not_ready")[0]["exit_status"] == 2
        supervised.file.write_text(good)
        assert len(await answering_pids(address, 2)) == 2
        process.terminate()
        assert await ended(process) == 0


# ---- new workers for old


@several_real_programs
async def test_a_hangup_renews_every_worker_and_no_request_fails(
    cluster: Cluster,
) -> None:
    crowd, old = Crowd(cluster.address), cluster.serving_pids()
    async with crowd.asking():
        cluster.process.send_signal(signal.SIGHUP)
        await until(lambda: cluster.told("workers_renewed"), PATIENCE)
    assert set(crowd.outcomes) == {"200"}, crowd.outcomes
    new = cluster.serving_pids()
    assert not set(new) & set(old)
    assert all(map(gone, old))
    assert await answering_pids(cluster.address, 2) == set(new)
    assert not cluster.told("worker_died")


@pytest.mark.gen_test(timeout=20)
async def test_who_has_just_connected_is_answered_by_a_worker_that_is_leaving(
    settings: tuple[Settings, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SAYING_SECONDS", PATIENCE)
    server = Server(*settings)
    await server.start()
    host, port = server.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with strangers() as http:
        await answering_pid(http, server.address)  # who came before has been let in by now
    leaving = asyncio.create_task(server.leave_the_port())
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: qlive\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    assert not leaving.done()
    leaving.cancel()
    writer.close()
    await server.stop()


@several_real_programs
async def test_sockets_are_told_to_come_back_to_the_new_worker(
    cluster: Cluster, settings: tuple[Settings, Any]
) -> None:
    street = Street(cluster.address, settings[0].ops.token)
    host = await street.host()
    seated = await host.connect()
    first = await seated.frame()
    cluster.process.send_signal(signal.SIGHUP)
    bye, code = await farewell(seated)
    assert (bye["code"], code, bye["reconnect"]) == (4000, 4000, True)
    again = await host.connect(epoch=first["epoch"], since=first["seq"])
    assert (await again.frame())["type"] == "resumed"
    await until(lambda: cluster.told("workers_renewed"), PATIENCE)
    await street.close()


@several_real_programs
async def test_a_new_worker_that_cannot_start_leaves_the_old_ones_serving(
    cluster: Cluster,
) -> None:
    good = cluster.file.read_text()
    cluster.file.write_text("prot: 1")
    try:
        cluster.process.send_signal(signal.SIGHUP)
        await until(lambda: cluster.told("renewal_given_up"), PATIENCE)
    finally:
        cluster.file.write_text(good)
    (failure,) = cluster.told("worker_not_ready")
    assert (failure["slot"], failure["exit_status"]) == (0, 2)
    assert not cluster.told("worker_serves")
    assert await answering_pids(cluster.address, 2) == set(cluster.serving_pids())


# ---- what is refused


def test_several_workers_need_redis() -> None:
    with pytest.raises(BadSettings) as refused:
        load(ROOT / "settings.yaml", {"QLIVE_SERVER__WORKERS": "2"})
    (problem,) = refused.value.problems
    assert problem == "redis.url: is empty, and server.workers of more than one need it"
    given = {"QLIVE_SERVER__WORKERS": "2", "QLIVE_REDIS__URL": NO_REDIS}
    assert load(ROOT / "settings.yaml", given).server.workers == 2


@several_real_programs
async def test_two_supervisors_do_not_share_a_port(
    cluster: Cluster,
    mongo_uri: str,
    tmp_path: Path,
) -> None:
    port = cluster.address.rpartition(":")[2]
    shutil.copy(cluster.folder / "dev-secrets.json", tmp_path)
    other = Supervised(tmp_path, server__port=port, mongodb__uri=mongo_uri)
    status, said, complaint = await other.run()
    assert (status, said) == (1, "")
    assert complaint == f"127.0.0.1:{port}: Address already in use; see server.port.\n"


class Barren:
    """A slot whose worker comes to serve, or does not."""

    def __init__(self, *, fills: bool) -> None:
        self._fills = fills
        self.stopped = False

    async def fill(self) -> bool:
        return self._fills

    async def stop(self) -> None:
        self.stopped = True


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("bad", [0, 1, 2])
async def test_at_the_start_every_worker_must_come_to_serve(bad: int) -> None:
    supervisor = Supervisor(Settings(), None, Path("settings.yaml"))
    slots: list[Any] = [Barren(fills=n != bad) for n in range(3)]
    supervisor._slots = slots
    assert not await supervisor._serve(lambda: pytest.fail("not yet"))
    assert all(slot.stopped for slot in slots)


@several_real_programs
async def test_a_first_worker_that_cannot_start_is_the_end(
    folder: Path,
) -> None:
    nobody = f"mongodb://127.0.0.1:{free_port()}/"
    supervised = Supervised(folder, mongodb__uri=nobody)
    status, said, complaint = await supervised.run()
    assert (status, said) == (1, "")
    assert "MongoDB does not answer: is mongodb.uri right?" in complaint
    assert "Traceback" not in complaint
    assert supervised.processes() == []
