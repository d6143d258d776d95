"""A complete server in the test's process, and an API client."""

import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from config.sections import UploadsSettings
from config.settings import Settings
from devtools import demo
from devtools.development_secrets import fill_in_secrets
from devtools.simulator.wechat import openid_of
from handlers.context import Context
from rooms.members import DEFAULT_GRACE, GracePolicy
from runtime import container
from runtime.jobs import PeriodicTasks
from runtime.process import ServerProcess
from services.chat import message_checks
from services.gold.ledger_audit import JOB_NAME as LEDGER_CHECK
from services.jobs.claimed_jobs import ClaimedJob
from services.rooms.presence import LEASE_SECONDS
from tests.support.api import ApiClient, ApiFixture
from tests.support.database import clear_database
from tests.support.no_limits import NO_LIMITS
from tests.support.waiting import WAIT_SECONDS

DATABASE = "qlive_test"
SLOW_SECONDS = 2.0


AN_HOUR = timedelta(hours=1)


Store = Callable[[Context], Awaitable[None]]
Work = Callable[[], Awaitable[object]]


class DemoData:
    """Copies what servers store first: indexes, configs and demo data are some 100 commands, 0.1 s
    each time."""

    def __init__(self, mongo: MongoClient[Any]) -> None:
        self._mongo = mongo
        self._snapshots: dict[tuple[object, ...], tuple[str, str]] = {}
        """(collections as JSON, address of the server that stored them)."""

    async def copy_or(self, store: Store, server: ServerProcess, context: Context) -> None:
        """Copies a snapshot into an empty database; otherwise calls `store`."""
        settings = server.settings
        database = self._mongo[settings.mongodb.database]
        app_id = next(iter(settings.wechat.apps))
        key = (database.name, settings.server.public_url, app_id, *demo.USERS)
        if database.configs.find_one():
            await store(context)
            return
        if key in self._snapshots:
            text, address = self._snapshots[key]
            for name, rows in json_util.loads(text.replace(address, server.address)).items():
                if rows:
                    database[name].insert_many(rows)
        else:
            await store(context)
            names = set(database.list_collection_names()) - {"schema"}  # is never cleared
            collections = {name: list(database[name].find()) for name in names}
            self._snapshots[key] = json_util.dumps(collections), server.address
        # A new server does not check the whole ledger at its start.
        later = datetime.now(UTC) + AN_HOUR
        database.job_leases.insert_one({"_id": LEDGER_CHECK, "due_at": later})


class TestedServer(ServerProcess):
    """Copies its first data; the jobs in `paused_jobs` run only when the test sweeps them."""

    initial_data: DemoData
    paused_jobs: tuple[str, ...] = ()
    jobs: list[ClaimedJob[Any]]
    """Also those that are paused."""

    async def store_first_data(self, context: Context) -> None:
        await self.initial_data.copy_or(super().store_first_data, self, context)
        running = context.services.claimed_jobs
        self.jobs = [*running]
        running[:] = [job for job in self.jobs if job.name not in self.paused_jobs]


def job_of(server: ServerProcess, name: str) -> ClaimedJob[Any]:
    """The claimed job of this name, such as a lane of the outbox, also if it is paused."""
    assert isinstance(server, TestedServer)
    return next(job for job in server.jobs if job.name == name)


@pytest.fixture(scope="session")
def initial_data(mongo: MongoClient[Any]) -> DemoData:
    return DemoData(mongo)


@pytest.fixture(scope="session")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Development secrets, created once for all workers: RSA keys take a second."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    file = folder / "dev-secrets.json"
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fill_in_secrets(Settings(), file)
    return file


@pytest.fixture
def changes() -> dict[str, Any]:
    """Settings that differ from the defaults, by section; test modules override this."""
    return {}


@pytest.fixture
def settings(
    mongo_uri: str,
    mongo: MongoClient[Any],
    secrets_file: Path,
    changes: dict[str, Any],
    has_bucket: bool,
) -> tuple[Settings, str]:
    """Development settings on the tests' MongoDB, with an empty database.

    There are no rate limits and no second operator.
    """
    clear_database(mongo, DATABASE)
    base: dict[str, Any] = {
        "server": {"port": 0, "drain_seconds": 1},
        "mongodb": {
            "uri": mongo_uri,
            "database": DATABASE,
            "data_dir": secrets_file.parent / "mongo",
        },
        "limits": NO_LIMITS,
        "ops": {"second_person_gold": 0},
    }
    for section, values in changes.items():
        base[section] = {**base.get(section, {}), **values}
    settings, simulator_key = fill_in_secrets(Settings.model_validate(base), secrets_file)
    if not has_bucket:
        settings = settings.model_copy(update={"uploads": UploadsSettings()})
    return settings, simulator_key


@pytest.fixture
def grace() -> GracePolicy:
    """How long users may be absent; test modules may override this."""
    return DEFAULT_GRACE


@pytest.fixture
def lease_seconds() -> float:
    """Lease of the server's process; test modules may override this."""
    return LEASE_SECONDS


@pytest.fixture
def demo_users() -> bool:
    """Whether the server has the 22 demo users; test modules may override this."""
    return False


@pytest.fixture
def has_bucket() -> bool:
    """Whether pictures are uploaded to a bucket; test modules may override this."""
    return True


def delay_slow_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs that run every SLOW_SECONDS, or less often, wait once before their first run.

    Most tests end before; all jobs at once send 60 commands on 20 new connections.
    """
    every = PeriodicTasks.every

    def every_later(
        tasks: PeriodicTasks, seconds: float, name: str, work: Work, **retry: Any
    ) -> None:
        runs = count()

        async def work_later() -> None:
            if next(runs) or seconds < SLOW_SECONDS:
                await work()

        every(tasks, seconds, name, work_later, **retry)

    monkeypatch.setattr(PeriodicTasks, "every", every_later)


@pytest.fixture
def paused_jobs(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Claimed jobs that run only when the test sweeps them; test modules may override this."""
    return ("moderation",) if "moderation" in request.fixturenames else ()


@pytest.fixture
def server(
    io_loop: IOLoop,
    settings: tuple[Settings, str],
    demo_users: bool,
    grace: GracePolicy,
    lease_seconds: float,
    initial_data: DemoData,
    paused_jobs: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ServerProcess]:
    """A running server; tests reach it over the network."""
    if not demo_users:
        monkeypatch.setattr(demo, "USERS", [])
    delay_slow_jobs(monkeypatch)
    # A busy machine may need longer for a check, and in doubt a message is sent.
    monkeypatch.setattr(message_checks, "WAIT_SECONDS", WAIT_SECONDS)
    monkeypatch.setattr(container, "DEFAULT_GRACE", grace)
    monkeypatch.setattr(container, "LEASE_SECONDS", lease_seconds)
    server = TestedServer(*settings)
    server.initial_data = initial_data
    server.paused_jobs = paused_jobs
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


@pytest.fixture
def api(io_loop: IOLoop, server: ServerProcess) -> Iterator[ApiFixture]:
    """Creates users of `server` and sends requests to it."""
    api = InProcessApi(server)
    yield api
    io_loop.run_sync(api.close)


@pytest.fixture
def http_api(io_loop: IOLoop, server: ServerProcess) -> Iterator[ApiFixture]:
    """As `api`, with users who register over HTTP, through the simulated WeChat."""
    api = ApiFixture(server.address)
    yield api
    io_loop.run_sync(api.close)


class InProcessApi(ApiFixture):
    """Creates users by the services of the server: four requests for each take 0.1 s.

    tests/handlers/accounts shows these requests.
    """

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(server.address)
        self._server = server

    async def register(self, name: str, gender: int) -> dict[str, Any]:
        context, simulator = self._server.context, self._server.simulator
        if context.settings.pay.provider == "xpay":
            return await super().register(name, gender)  # only WeChat's login has a session key
        user, _ = await context.stores.users.create(
            next(iter(context.settings.wechat.apps)),
            openid_of(name),
            nickname=name,
            gender=gender,
            last_login_time=datetime.now(UTC),
        )
        if simulator:
            profile = {"Nick": user.nickname, "FaceUrl": user.face_url}
            simulator.im.accounts.setdefault(user.user_id, profile)
        return {
            "token": await context.services.accounts.sessions.begin(user.user_id),
            "user_id": user.user_id,
        }

    async def grant(self, client: ApiClient, gold: int) -> int:
        balance = await self._server.context.services.gold.ledger.grant(
            client.id, gold, "test", client.name, by="demo"
        )
        return balance["gold"]

    async def make_matchmaker(self, client: ApiClient) -> None:
        await self._server.context.stores.users.update(client.id, is_matchmaker=True)
