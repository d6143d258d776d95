import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from config.settings import Settings
from devtools.embedded_mongod import find_binary
from services.doctor.doctor import Doctor
from storage.database import Database
from tests.support.api import ApiFixture
from tests.support.filled_settings import shipped_secrets
from tests.support.gifts import give
from tests.support.nginx import DEPLOY, deploy_file
from tests.support.paths import ROOT
from tests.support.ports import free_port, wait_until_open
from tests.support.redis_server import find_redis
from tests.support.server_program import ServerProgram, exit_status
from tests.support.unit_sandbox import allowed_calls

START_SECONDS = 30.0
QLIVE = "replicaSet=qlive&authSource=qlive"
"""Options of users that the database qlive has."""
pytestmark = [pytest.mark.programs, pytest.mark.linux]


class Member(NamedTuple):
    """A mongod with TLS; `authority` is the certificate that clients trust."""

    address: str
    authority: Path

    def uri(self, user: str = "", options: str = "replicaSet=qlive") -> str:
        """`user` is name:password."""
        login = f"{user}@" if user else ""
        tls = f"tls=true&tlsCAFile={self.authority}"
        return f"mongodb://{login}{self.address}/?{options}&{tls}"


@contextmanager
def replica_set_member(folder: Path, port: int) -> Iterator[Member]:
    """Runs mongod, not initiated and without users, while the block runs."""
    authority = make_certificates(folder)
    (folder / "key").write_text("c2VjcmV0" * 8)
    (folder / "key").chmod(0o400)
    (folder / "data").mkdir()
    changes = {
        "port: 27017": f"port: {port}\n  unixDomainSocket:\n    enabled: false",
        "127.0.0.1,10.0.0.21": "127.0.0.1",
        "/var/lib/mongodb": str(folder / "data"),
        "/var/log/mongodb": str(folder),
        "/etc/mongod.key": str(folder / "key"),
        "/etc/mongod.pem": str(folder / "127.0.0.1.pem"),
        "/etc/qlive/ca.pem": str(authority),
    }
    (folder / "mongod.conf").write_text(deploy_file("mongod.conf", changes))
    command = [str(find_binary()), "--config", str(folder / "mongod.conf")]
    process = subprocess.Popen([*command, "--wiredTigerCacheSizeGB", "0.25"])
    try:
        yield Member(f"127.0.0.1:{port}", authority)
    finally:
        process.kill()
        process.wait()


def _documented(kind: str, name: str, key: str) -> Any:
    text = (ROOT / "docs" / "deploy.md").read_text()
    found = re.search(rf'{kind}: "{name}".*?{key}: (.*)', text)
    assert found, f"docs/deploy.md creates no {kind} {name}"
    quoted = re.sub(r"(\w+):", r'"\1":', found[1])
    return json.JSONDecoder().raw_decode(quoted)[0]  # ignores what follows


def documented_user(name: str) -> dict[str, Any]:
    """The createUser command with the roles in docs/deploy.md."""
    return {"pwd": "secret", "roles": _documented("user", name, "roles")}


def documented_role(name: str) -> dict[str, Any]:
    return {"privileges": _documented("role", name, "privileges"), "roles": []}


def make_certificates(folder: Path) -> Path:
    """Runs the documented commands in `folder`; returns the authority's certificate.

    The key and certificate of a server are in `127.0.0.1.pem`, and apart in `.key` and `.crt`.
    """
    page = (ROOT / "docs" / "deploy.md").read_text()
    section = page[page.index("\n## Certificates\n") :]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found, "docs/deploy.md has no commands under Certificates"
    commands, count = re.subn(r"(?<=in )10\.[0-9. ]+(?=;)", "127.0.0.1", found[1])
    assert count == 1
    subprocess.run(["sh", "-ec", commands], cwd=folder, check=True, capture_output=True)
    return folder / "ca.pem"


class OwnRedis:
    """A Redis with deploy/redis.conf on a free port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.authority = make_certificates(folder)
        self._folder = folder

    @contextmanager
    def running(self) -> Iterator[None]:
        changes = {
            "bind 127.0.0.1 10.0.0.31": "bind 127.0.0.1",
            "tls-port 6379": f"tls-port {self.port}",
            "/etc/redis/redis.": f"{self._folder}/127.0.0.1.",
        }
        (self._folder / "redis.conf").write_text(deploy_file("redis.conf", changes))
        command = [find_redis(), str(self._folder / "redis.conf")]
        with subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL) as process:
            try:
                wait_until_open(self.port)
                yield
            finally:
                process.kill()

    def url(self, login: str, authority: Path | None = None) -> str:
        """That of deploy/secrets.env for this server; `login` is name:password@ or empty."""
        scheme, _, rest = shipped_secrets()["QLIVE_REDIS__URL"].partition("://")
        options = rest.partition("?")[2]
        assert "/etc/qlive/ca.pem" in options
        options = options.replace("/etc/qlive/ca.pem", str(authority or self.authority))
        return f"{scheme}://{login}127.0.0.1:{self.port}/0?{options}"

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url("qlive:CHANGE-ME@"))


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """As in deploy/redis.conf."""
    own = OwnRedis(tmp_path_factory.mktemp("redis"))
    with own.running():
        yield own


@pytest.fixture(scope="module")
def running_member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """A one-member replica set with deploy/mongod.conf, all documented users, and "other".

    "other" lacks the role that replays an oplog.
    """
    port = free_port()
    with replica_set_member(tmp_path_factory.mktemp("member"), port) as member:
        wait_until_open(port)
        initiate(member)
        with MongoClient[Any](member.uri("root:root")) as client:
            admin, qlive = client.admin, client.qlive
            for role in ("startChecks", "replay"):
                admin.command("createRole", role, **documented_role(role))
            for user in ("backup", "restore"):
                admin.command("createUser", user, **documented_user(user))
            qlive.command("createUser", "qlive", **documented_user("qlive"))
            admin.command("createUser", "other", pwd="secret", roles=["restore"])
        yield member


def initiate(member: Member) -> None:
    """Makes it a primary with a root user, which localhost may create as the first."""
    deadline = time.monotonic() + START_SECONDS
    with MongoClient[Any](member.uri(options="directConnection=true")) as client:
        members = [{"_id": 0, "host": member.address}]
        client.admin.command("replSetInitiate", {"_id": "qlive", "members": members})
        while not client.admin.command("hello")["isWritablePrimary"]:
            assert time.monotonic() < deadline, "mongod does not become primary"
        roles = [{"role": "root", "db": "admin"}]
        client.admin.command("createUser", "root", pwd="root", roles=roles)


@pytest.fixture
def member(running_member: Member) -> Member:
    """The replica set, with an empty database."""
    with MongoClient[Any](running_member.uri("root:root")) as client:
        client.drop_database("qlive")
    return running_member


class SandboxedProgram(ServerProgram):
    """A server under the system call filter and the memory rules of its unit."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, logging__json="true", **settings)
        calls = folder / "calls"
        calls.write_text("\n".join(allowed_calls((DEPLOY / "qlive@.service").read_text())))
        sandbox = str(ROOT / "tests" / "support" / "unit_sandbox.py")
        self._command = (sys.executable, sandbox, str(calls), sys.executable, "server.py")


async def test_server_runs_under_its_unit_with_the_documented_users_of_mongodb_and_redis(
    data_folder: Path, member: Member, redis_server: OwnRedis
) -> None:
    with MongoClient[Any](member.uri("root:root")) as client:
        parameter = client.admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
        assert parameter["transactionLifetimeLimitSeconds"] == 5
    uri, redis_url = member.uri("qlive:secret", QLIVE), redis_server.url("qlive:CHANGE-ME@")
    program = SandboxedProgram(data_folder, mongodb__uri=uri, redis__url=redis_url)
    async with program.serving() as (process, address):
        api = ApiFixture(address)
        host = await api.host()
        guest = await api.guest("bert", 1, host.live_id, gold=1000)
        listener = await host.connect()
        await listener.next("snapshot")
        (await give(guest, host.id)).ok()
        await listener.next("gift")
        ready = (await api.request("GET", "/readyz")).ok()
        assert ready["dependencies"]["redis"]["state"] == "ok"
        await api.close()
        process.terminate()
        assert await exit_status(process) == 0
    log = [json.loads(line) for line in (data_folder / "server.log").read_text().splitlines()]
    assert not [line for line in log if line["level"] in ("error", "critical")]
    # Every check of a start was made, and none warns.
    assert not [line for line in log if line["event"].startswith("mongodb_")]
    with MongoClient[Any](uri) as client, pytest.raises(OperationFailure, match="not authorized"):
        client.other.things.insert_one({})
    with MongoClient[Any](member.uri("backup:secret")) as client:
        assert client.qlive.ledger.count_documents({}) == 2
        assert client.local["oplog.rs"].find_one()
        with pytest.raises(PyMongoError, match="not authorized"):
            client.qlive.ledger.delete_many({})


async def test_the_doctor_finds_the_documented_users_right_and_one_member_wrong(
    member: Member, redis_server: OwnRedis
) -> None:
    sections = {"redis": {"url": redis_server.url("qlive:CHANGE-ME@")}}
    settings = Settings.model_validate({"environment": "production", **sections})
    database = Database(member.uri("qlive:secret", QLIVE), "qlive")
    found = await Doctor(settings, database).run()
    await database.close()
    verdicts = {row.name: row.verdict for row in found if row.service in ("MongoDB", "Redis")}
    assert verdicts.pop("mongodb.members") == "wrong"
    assert set(verdicts.values()) == {"right"}, found


def test_oplog_replay_needs_the_documented_restore_user(member: Member) -> None:
    with MongoClient[Any](member.uri("root:root")) as client:
        rows = client.qlive.replayed
        rows.insert_many([{"_id": n, "n": n} for n in range(3)])
        rows.update_one({"_id": 1}, {"$inc": {"n": 10}})
        rows.delete_one({"_id": 2})
        # In the form that `mongorestore --oplogReplay` sends.
        found = client.local["oplog.rs"].find({"ns": "qlive.replayed"}, {"ui": 0})
        entries = list(found.sort("$natural", 1))
        assert [entry["op"] for entry in entries] == ["i", "i", "i", "u", "d"]
        rows.delete_many({})
        assert replayed_until_refused(member, "other", entries) == "iii"
        rows.delete_many({})
        assert replayed_until_refused(member, "restore", entries) == "iiiud"
        assert list(rows.find()) == [{"_id": 0, "n": 0}, {"_id": 1, "n": 11}]


def replayed_until_refused(member: Member, user: str, entries: list[dict[str, Any]]) -> str:
    """The kinds of the entries that `user` may replay."""
    applied = ""
    with MongoClient[Any](member.uri(f"{user}:secret")) as client:
        for entry in entries:
            try:
                client.admin.command("applyOps", [entry])
            except OperationFailure:
                break
            applied += entry["op"]
    return applied


async def test_documented_counter_update_keeps_new_rooms_off_lost_group_ids(
    api: ApiFixture, settings: tuple[Settings, Any]
) -> None:
    """Runs the update that docs/operations.md documents."""
    page = (ROOT / "docs" / "operations.md").read_text()
    documented_update = re.search(r"counters\.updateOne\((\{_id: .*?\}), (\{.*?\}\})\)", page)
    assert documented_update
    query, update = (
        json.loads(re.sub(r"([$\w]+):", r'"\1":', part)) for part in documented_update.groups()
    )
    restored_live_id = (await api.host()).live_id
    with MongoClient[Any](settings[0].mongodb.uri) as client:
        counters = client[settings[0].mongodb.database].counters
        assert counters.update_one(query, update).modified_count == 1
    assert (await api.host("媒婆")).live_id == restored_live_id + 1001


# ---- Redis and TLS


def test_redis_user_may_publish_and_subscribe_and_nothing_else(redis_server: OwnRedis) -> None:
    with redis_server.client() as client:
        subscription = client.pubsub()
        subscription.subscribe("channel")
        assert subscription.get_message(timeout=5)
        assert client.publish("channel", "message") == 1
        message = subscription.get_message(timeout=5)
        assert message
        assert message["data"] == b"message"
        for refused in (
            lambda: client.set("key", 1),
            lambda: client.acl_setuser("qlive", passwords=["+NEW"]),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                refused()
        subscription.close()
    with (
        redis.Redis.from_url(redis_server.url("")) as anonymous,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        anonymous.ping()


def test_databases_accept_only_tls_and_clients_only_their_certificate(
    redis_server: OwnRedis, member: Member, tmp_path: Path
) -> None:
    stranger = make_certificates(tmp_path)
    for url in (
        redis_server.url("qlive:CHANGE-ME@", stranger),
        f"redis://qlive:CHANGE-ME@127.0.0.1:{redis_server.port}/0",
    ):
        with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
            client.ping()
    for uri in (
        Member(member.address, stranger).uri("root:root"),
        f"mongodb://root:root@{member.address}/?replicaSet=qlive",
    ):
        with (
            MongoClient[Any](uri, serverSelectionTimeoutMS=300) as client,
            pytest.raises(ConnectionFailure),
        ):
            client.admin.command("ping")
