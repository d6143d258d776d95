"""Several worker processes on one port, and their supervisor."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from config.loading import InvalidSettings, load
from config.settings import Settings
from core.version import build
from runtime import process as process_module
from runtime.process import ServerProcess
from runtime.supervisor import Supervisor
from tests.support.api import ApiFixture
from tests.support.paths import ROOT
from tests.support.ports import free_port, free_ports
from tests.support.promtool import check_rule_tests, rule_test
from tests.support.scrapes import Scraper
from tests.support.server_program import EXIT_SECONDS, exit_status
from tests.support.supervised_program import (
    NO_REDIS,
    POLLERS,
    HealthPoller,
    SupervisedCluster,
    SupervisedProgram,
    answering_pid,
    answering_pids,
    fresh_connections,
    has_exited,
)
from tests.support.waiting import until
from tests.support.websockets import read_close

pytestmark = [pytest.mark.programs, pytest.mark.linux]

DATABASE, OWN_DATABASE = "qlive_test_supervisor", "qlive_test_supervised"
HEALTHZ = 'qlive_requests_total{method="GET",route="Healthz",status="200"}'
RESTARTS = "qlive_worker_restarts_total"
programs_test = pytest.mark.gen_test(timeout=240)


@pytest.fixture
def supervised(data_folder: Path, mongo: MongoClient[Any], mongo_uri: str) -> SupervisedProgram:
    """On the MongoDB of the tests, with a new database."""
    mongo.drop_database(OWN_DATABASE)
    return SupervisedProgram(data_folder, mongodb__uri=mongo_uri, mongodb__database=OWN_DATABASE)


@pytest.fixture(scope="module")
def running_cluster(
    mongo: MongoClient[Any], mongo_uri: str, secrets_file: Path
) -> Iterator[SupervisedCluster]:
    """On the MongoDB of the tests, with a new database."""
    mongo.drop_database(DATABASE)
    with tempfile.TemporaryDirectory(prefix="qlive-") as folder:
        shutil.copy(secrets_file, folder)
        cluster = SupervisedCluster(
            Path(folder),
            server__port=str(free_ports(3)),
            server__worker_ports="true",
            mongodb__uri=mongo_uri,
            mongodb__database=DATABASE,
        )
        cluster.start_up()
        try:
            yield cluster
        finally:
            cluster.shut_down()


@pytest.fixture
def cluster(running_cluster: SupervisedCluster) -> SupervisedCluster:
    running_cluster.log_start = len(running_cluster.log())
    return running_cluster


# ---- all workers


@programs_test
async def test_two_workers_share_a_port_and_store_the_first_data_once(
    cluster: SupervisedCluster, mongo_uri: str
) -> None:
    assert await answering_pids(cluster.address, 2) == set(cluster.serving_pids())
    with MongoClient[Any](mongo_uri) as client:
        names = [row["name"] for row in client[DATABASE].gifts.find()]
        assert len(names) == len(set(names)) > 0
        assert client[DATABASE].configs.count_documents({"key": "INDEX_BANNER"}) == 1


@programs_test
async def test_the_fleet_has_every_worker_with_its_slot_whichever_answers(
    cluster: SupervisedCluster,
) -> None:
    api = ApiFixture(cluster.address)
    [machine] = (await api.ops("GET", "fleet")).ok()["machines"]
    assert machine["machine"] == socket.gethostname()
    serving = [it for it in machine["processes"] if it["state"] == "serving"]
    # The lease of a worker that another test has killed may still be valid.
    workers = {(it["worker"], it["pid"]) for it in serving}
    assert set(enumerate(cluster.serving_pids())) <= workers
    assert {(it["address"], it["version"]) for it in serving} == {(cluster.address, build())}
    await api.close()


@programs_test
async def test_each_worker_also_serves_on_a_port_of_its_own(cluster: SupervisedCluster) -> None:
    port = int(cluster.address.rpartition(":")[2])
    async with fresh_connections() as http:
        pids = [
            await answering_pid(http, f"http://127.0.0.1:{port + 1 + slot}")
            for slot in (0, 1, 0, 1)
        ]
    assert pids == cluster.serving_pids() * 2


@programs_test
async def test_login_works_when_each_request_goes_to_any_worker(cluster: SupervisedCluster) -> None:
    async with fresh_connections() as http:
        api = ApiFixture(cluster.address)
        api._http = http
        before = await wechat_calls(api)
        clients = [await api.user(f"anna{n}", 2) for n in range(20)]
        assert len({client.id for client in clients}) == 20
        for client in clients:
            assert (await client.get("qlive_user/get_userinfo/")).ok()["nickname"] == client.name
        assert await wechat_calls(api) == before + 20


async def wechat_calls(api: ApiFixture) -> int:
    """Calls that the simulator, which all workers share, has logged."""
    log = (await api.request("GET", "/sim/log")).ok()["items"]
    return [row["service"] for row in log].count("wechat")


@programs_test
async def test_one_scrape_answers_for_all_workers(cluster: SupervisedCluster) -> None:
    scraper = Scraper(cluster.address)
    before = await scraper.settled(HEALTHZ)
    async with fresh_connections() as http:
        for _ in range(20):
            async with http.get(f"{cluster.address}/healthz") as answer:
                assert answer.status == 200
    assert await scraper.settled(HEALTHZ) == before + 20
    while (await scraper.scrape())["qlive_workers"] < 2:
        pass  # the supervisor writes its file every second
    last = scraper.last
    assert last["qlive_workers_wanted"] == 2
    lag = {series for series in last if series.startswith("qlive_loop_lag_seconds")}
    assert lag == {f'qlive_loop_lag_seconds{{worker="{n}"}}' for n in (0, 1)}
    (folder,) = cluster.metrics_folders()
    assert len(list(folder.glob("*.worker"))) == 2
    assert f'qlive_server_info{{server="{folder.name}"}}' in last


@programs_test
async def test_the_operations_page_lists_every_metric(cluster: SupervisedCluster) -> None:
    scraper = Scraper(cluster.address)
    await scraper.scrape()
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`qlive_\w+`(?:, `qlive_\w+`)*) \| (\w+) \|", table, re.MULTILINE)
    listed = {(name, kind) for row, kind in rows for name in re.findall(r"\w+", row)}
    exported = re.findall(r"^# TYPE (\w+) (\w+)$", scraper.text, re.MULTILINE)
    assert listed == {(name, kind) for name, kind in exported if not name.endswith("_created")}


def interrupt_process_group(process: asyncio.subprocess.Process, _pids: list[int]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def signal_each_process_twice(process: asyncio.subprocess.Process, pids: list[int]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        for pid in (process.pid, *pids):
            os.kill(pid, number)


@programs_test
@pytest.mark.parametrize("stop", [interrupt_process_group, signal_each_process_twice])
async def test_all_processes_exit_cleanly_on_stop_signals(
    data_folder: Path,
    stop: Callable[[asyncio.subprocess.Process, list[int]], None],
) -> None:
    supervised = SupervisedProgram(data_folder)  # on its own embedded MongoDB
    async with supervised.serving() as (process, _):
        # the supervisor, two workers and mongod
        assert len(supervised.processes()) == 4
        stop(process, supervised.serving_pids())
        assert await exit_status(process) == 0
        assert supervised.processes() == []
    assert "Traceback" not in (data_folder / "server.log").read_text()
    assert not supervised.log_events("worker_died") + supervised.log_events("worker_killed")


@programs_test
async def test_stop_during_startup_leaves_no_process(
    data_folder: Path,
) -> None:
    supervised = SupervisedProgram(data_folder)
    process = await supervised.serve()
    await until(lambda: any(" worker " in line for line in supervised.processes()))
    process.terminate()
    output, _ = await asyncio.wait_for(process.communicate(), EXIT_SECONDS)
    assert (process.returncode, output) == (0, b"")
    assert supervised.processes() == []


@programs_test
async def test_workers_and_mongod_exit_when_the_supervisor_is_killed(
    data_folder: Path,
) -> None:
    supervised = SupervisedProgram(data_folder)
    async with supervised.serving() as (process, _):
        process.kill()
        assert await exit_status(process) == -signal.SIGKILL
        await until(lambda: not supervised.processes())
    assert len(supervised.log_events("supervisor_lost")) == 2
    assert supervised.metrics_folders() == []


# ---- workers that exit


@programs_test
async def test_killed_worker_is_replaced_and_no_connection_is_refused(
    cluster: SupervisedCluster, tmp_path: Path
) -> None:
    poller, pid = HealthPoller(cluster.address), cluster.serving_pids()[1]
    scraper = Scraper(cluster.address)
    restarts = (await scraper.scrape())[RESTARTS]
    async with poller.polling(), scraper.scraping():
        os.kill(pid, signal.SIGKILL)
        successor = await cluster.successor_pid(1, pid)
    # Requests in flight at the killed worker may fail; no connection may be refused.
    assert set(poller.outcomes) <= {"200", "ServerDisconnectedError", "ClientOSError"}
    assert poller.outcomes.total() - poller.outcomes["200"] <= 4, poller.outcomes
    assert await answering_pids(cluster.address, 2) == {cluster.serving_pids()[0], successor}
    assert scraper.fallen == {}
    assert pid in scraper.pids
    while (await scraper.scrape())[RESTARTS] == restarts:
        pass  # the supervisor writes its file every second
    assert scraper.last[RESTARTS] == restarts + 1
    shown = {RESTARTS: f"{restarts}x20 {restarts + 1}x20"}
    check_rule_tests(tmp_path, {"restarted": rule_test(shown, "10m", ["QLiveWorkerRestarted"])})
    (exited,) = cluster.log_events("worker_died")
    assert (exited["pid"], exited["exit_status"]) == (pid, -signal.SIGKILL)
    assert cluster.log_events("worker_restart_scheduled")[0]["in_seconds"] == 0


@programs_test
async def test_requests_queued_at_a_killed_worker_are_answered_by_its_successor(
    cluster: SupervisedCluster,
) -> None:
    async with fresh_connections() as http:
        pids = cluster.serving_pids()
        os.kill(pids[0], signal.SIGSTOP)
        requests = [asyncio.ensure_future(answering_pid(http, cluster.address)) for _ in range(20)]
        await until(lambda: any(request.done() for request in requests))
        os.kill(pids[0], signal.SIGKILL)
        answers = Counter(await asyncio.gather(*requests))
        assert set(answers) == {await cluster.successor_pid(0, pids[0]), pids[1]}


@programs_test
async def test_restart_delay_grows_while_a_worker_fails_repeatedly(
    supervised: SupervisedProgram, tmp_path: Path
) -> None:
    async with supervised.serving() as (process, address):
        valid = supervised.settings_file.read_text()
        supervised.settings_file.write_text("prot: 1")
        os.kill(supervised.serving_pids()[1], signal.SIGKILL)
        await until(lambda: len(supervised.log_events("worker_restart_scheduled")) == 4)
        delays = [
            entry["in_seconds"] for entry in supervised.log_events("worker_restart_scheduled")
        ]
        assert delays == [0, 0.5, 1, 2]
        assert supervised.log_events("worker_ready_failed")[0]["exit_status"] == 2
        scraper = Scraper(address)

        async def shows_the_loss() -> bool:
            # A connection that the dead worker's socket got waits for the next worker.
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    return (await scraper.scrape())["qlive_workers"] < 2
            return False

        await until(shows_the_loss)  # the supervisor writes its file every second
        shown = {
            name: f"{scraper.last[name]}x20" for name in ("qlive_workers", "qlive_workers_wanted")
        }
        check_rule_tests(tmp_path, {"missing": rule_test(shown, "4m", ["QLiveWorkerMissing"])})
        supervised.settings_file.write_text(valid)
        assert len(await answering_pids(address, 2)) == 2
        process.terminate()
        assert await exit_status(process) == 0


# ---- renewal of workers


@programs_test
async def test_sighup_renews_every_worker_and_sockets_resume_and_no_request_fails(
    cluster: SupervisedCluster,
) -> None:
    api = ApiFixture(cluster.address)
    host = await api.host()
    socket_ = await host.connect()
    first = await socket_.frame()
    poller, old = HealthPoller(cluster.address), cluster.serving_pids()
    scraper = Scraper(cluster.address)
    before = await scraper.settled(HEALTHZ)
    async with poller.polling(), scraper.scraping():
        cluster.process.send_signal(signal.SIGHUP)
        bye, code = await read_close(socket_)
        assert (bye["code"], code, bye["reconnect"]) == (4000, 4000, True)
        resumed = await host.connect(epoch=first["epoch"], since=first["seq"])
        assert (await resumed.frame())["type"] == "resumed"
        await until(lambda: cluster.log_events("workers_renewed"))
    assert set(poller.outcomes) == {"200"}, poller.outcomes
    new = cluster.serving_pids()
    assert not set(new) & set(old)
    assert all(map(has_exited, old))
    assert await answering_pids(cluster.address, 2) == set(new)
    assert not cluster.log_events("worker_died")
    assert scraper.fallen == {}
    assert len(scraper.pids) == 4
    counted = await scraper.settled(HEALTHZ) - before
    assert 0 <= counted - poller.outcomes["200"] <= POLLERS, "each request is counted once"
    await api.close()


@pytest.mark.gen_test(timeout=20)
async def test_worker_that_stops_listening_answers_connections_it_has_accepted(
    settings: tuple[Settings, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "ACCEPTED_SECONDS", 60.0)
    server = ServerProcess(*settings)
    await server.start()
    host, port = server.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with fresh_connections() as http:
        await answering_pid(
            http, server.address
        )  # now the earlier connection has been accepted, too
    stopping = asyncio.create_task(server.stop_listening())
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: qlive\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    assert not stopping.done()
    stopping.cancel()
    writer.close()
    await server.stop()


@programs_test
async def test_failed_renewal_keeps_the_old_workers(
    cluster: SupervisedCluster,
) -> None:
    valid = cluster.settings_file.read_text()
    cluster.settings_file.write_text("prot: 1")
    try:
        cluster.process.send_signal(signal.SIGHUP)
        await until(lambda: cluster.log_events("worker_renewal_aborted"))
    finally:
        cluster.settings_file.write_text(valid)
    (failure,) = cluster.log_events("worker_ready_failed")
    assert (failure["slot"], failure["exit_status"]) == (0, 2)
    assert not cluster.log_events("worker_ready")
    assert await answering_pids(cluster.address, 2) == set(cluster.serving_pids())


# ---- refused starts


def test_several_workers_need_redis() -> None:
    with pytest.raises(InvalidSettings) as error:
        load(ROOT / "settings.yaml", {"QLIVE_SERVER__WORKERS": "2"})
    (problem,) = error.value.problems
    assert problem == "redis.url: must be set when server.workers is more than 1"
    env = {"QLIVE_SERVER__WORKERS": "2", "QLIVE_REDIS__URL": NO_REDIS}
    assert load(ROOT / "settings.yaml", env).server.workers == 2


@programs_test
async def test_second_supervisor_on_the_same_port_is_refused(
    cluster: SupervisedCluster,
    mongo_uri: str,
    tmp_path: Path,
) -> None:
    port = cluster.address.rpartition(":")[2]
    shutil.copy(cluster.folder / "dev-secrets.json", tmp_path)
    other = SupervisedProgram(tmp_path, server__port=port, mongodb__uri=mongo_uri)
    status, output, errors = await other.run()
    assert (status, output) == (1, "")
    failure = json.loads(errors)
    assert failure["event"] == "command_failed"
    assert failure["why"] == f"127.0.0.1:{port}: Address already in use; see server.port."


class StubSlot:
    """A slot whose worker becomes ready or fails."""

    def __init__(self, *, ready: bool) -> None:
        self._ready = ready
        self.stopped = False

    async def fill(self) -> bool:
        return self._ready

    async def stop(self) -> None:
        self.stopped = True


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_startup_fails_if_one_worker_fails(failing: int) -> None:
    supervisor = Supervisor(Settings(), None, Path("settings.yaml"))
    slots: list[Any] = [StubSlot(ready=n != failing) for n in range(3)]
    supervisor._slots = slots
    assert not await supervisor._serve(lambda: pytest.fail("reported ready too early"))
    assert all(slot.stopped for slot in slots)


@programs_test
async def test_startup_fails_if_mongodb_is_unavailable(
    data_folder: Path,
) -> None:
    unreachable = f"mongodb://127.0.0.1:{free_port()}/"
    supervised = SupervisedProgram(data_folder, mongodb__uri=unreachable)
    status, output, errors = await supervised.run()
    assert (status, output) == (1, "")
    assert "MongoDB is unavailable; check mongodb.uri." in errors
    assert "Traceback" not in errors
    assert supervised.processes() == []
