"""What the doctor makes of MongoDB's and Redis's answers."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import redis
from pymongo import MongoClient
from redis.asyncio import Redis

from services.doctor import stores
from services.doctor.findings import Examination, Finding, Findings
from services.doctor.servers import RunningServers
from storage.database import Database
from tests.support.doctor import DoctorFixture

USER = {"authenticatedUsers": [{"user": "qlive", "db": "qlive"}]}
READ_WRITE = {"role": "readWrite", "db": "qlive"}
LIMITED = "user_of_the_doctor"


@pytest.fixture
def findings() -> Findings:
    return Findings("MongoDB", stores.MONGODB_CHECKS)


def finding(findings: Findings, name: str) -> Finding:
    return {row.name: row for row in findings.complete(clock_differs=False)}[f"mongodb.{name}"]


@pytest.mark.parametrize(("hosts", "verdict"), [(1, "wrong"), (2, "right"), (3, "right")])
def test_one_member_is_wrong(findings: Findings, hosts: int, verdict: str) -> None:
    stores.judge_members(findings, {"hosts": ["m"] * hosts})
    assert finding(findings, "members").verdict == verdict


def test_the_members_of_a_sharded_cluster_cannot_be_told(findings: Findings) -> None:
    stores.judge_members(findings, {"msg": "isdbgrid"})
    assert finding(findings, "members").verdict == "cannot be told"


@pytest.mark.parametrize(("version", "verdict"), [([5, 0, 9, 0], "wrong"), ([6, 0, 0, 0], "right")])
def test_an_old_version_is_wrong(findings: Findings, version: list[int], verdict: str) -> None:
    stores.judge_version(findings, {"version": "x", "versionArray": version})
    assert finding(findings, "version").verdict == verdict


@pytest.mark.parametrize(
    ("auth", "denied", "verdict"),
    [
        ({**USER, "authenticatedUserRoles": [READ_WRITE]}, "", "right"),
        ({**USER, "authenticatedUserRoles": [{"role": "root", "db": "admin"}]}, "", "right"),
        ({**USER, "authenticatedUserRoles": [READ_WRITE]}, "Unauthorized", "wrong"),
        ({**USER, "authenticatedUserRoles": [READ_WRITE]}, "InvalidOptions", "right"),
        ({**USER, "authenticatedUserRoles": [{**READ_WRITE, "db": "x"}]}, "", "wrong"),
        ({}, "", "wrong"),
    ],
)
def test_the_user_needs_a_login_and_both_roles(
    findings: Findings, auth: dict[str, Any], denied: str, verdict: str
) -> None:
    stores.judge_user(findings, {"authInfo": auth}, denied, "qlive")
    assert finding(findings, "user").verdict == verdict


@pytest.mark.parametrize(
    ("limits", "config", "verdict"),
    [
        ([5, 5, 5], {}, "right"),
        ([5, 5, 60], {}, "wrong"),
        ([5, 5, 5], {"writeConcernMajorityJournalDefault": False}, "wrong"),
        ([5, 5, "AutoReconnect"], {}, "cannot be told"),
        ([5, 60, "AutoReconnect"], {}, "wrong"),
    ],
)
def test_parameters_are_those_of_the_deployment_on_each_member(
    findings: Findings, limits: list[int | str], config: dict[str, Any], verdict: str
) -> None:
    members = {f"m{number}:27017": limit for number, limit in enumerate(limits)}
    stores.judge_parameters(findings, members, config)
    found = finding(findings, "parameters")
    assert found.verdict == verdict
    assert all(f"{member} {limit}" in found.came_back for member, limit in members.items())


async def test_the_parameters_of_each_member_with_data_are_read(
    database: Database, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.CONNECT_MS", 200)
    monkeypatch.setattr("storage.database.OPERATION_MS", 400)
    [member] = mongo.admin.command("replSetGetConfig")["config"]["members"]
    others = [{"host": "127.0.0.1:1"}, {"host": "127.0.0.1:2", "arbiterOnly": True}]
    was = mongo.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=6)["was"]
    try:
        limits = await stores.transaction_limits(database, {"members": [member, *others]})
    finally:
        mongo.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=was)
    assert limits == {member["host"]: 6, "127.0.0.1:1": "ServerSelectionTimeoutError"}


@pytest.mark.parametrize(
    ("url", "encrypted"),
    [
        ("rediss://10.0.0.31/0", True),
        ("redis://10.0.0.31/0", False),
        ("redis://redis.internal/0", False),
        *((url, True) for url in ("redis://localhost/0", "redis://[::1]/0", "unix:///run/redis")),
    ],
)
def test_redis_is_encrypted_unless_it_is_on_this_machine(url: str, *, encrypted: bool) -> None:
    assert stores.is_encrypted(url) is encrypted


@pytest.fixture
def limited_url(redis_url: str) -> Iterator[str]:
    """A user who may connect, but not publish."""
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser(
            LIMITED, enabled=True, passwords=["+secret"], categories=["+@connection"]
        )
        yield redis_url.replace("://", f"://{LIMITED}:secret@")
        client.acl_deluser(LIMITED)


async def test_a_redis_user_without_rights_is_wrong(
    doctor: DoctorFixture, limited_url: str
) -> None:
    for url, came_back in (
        (limited_url, "NoPermissionError"),
        (limited_url.replace(":secret@", ":guess@"), "AuthenticationError"),
        ("redis://127.0.0.1:1/0", "no answer (ConnectionError)"),
    ):
        found = await doctor.run(settings=doctor.changed("redis", url=url))
        [wrong] = [row for row in found.values() if row.verdict == "wrong"]
        assert (wrong.name, wrong.came_back) == ("redis.messages", came_back)


async def test_an_unreadable_redis_url_is_one_finding_without_its_password(
    doctor: DoctorFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "redis://:hunter/2@127.0.0.1/0"
    found = await doctor.run(settings=doctor.changed("redis", url=url))
    [wrong] = [row for row in found.values() if row.verdict == "wrong"]
    assert (wrong.name, found["redis.messages"].because_of) == ("redis.encrypted", wrong.name)
    output = capsys.readouterr()
    assert "hunter" not in f"{wrong.came_back} {output.out} {output.err}"


async def test_ctrl_c_while_the_connection_to_redis_is_closed_does_not_leave_it_open(
    doctor: DoctorFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, closed, close = asyncio.Event(), asyncio.Event(), Redis.aclose

    async def slow_close(client: Redis) -> None:
        begun.set()
        await asyncio.sleep(0)
        await close(client)
        closed.set()

    async def examine() -> None:
        async with AsyncExitStack() as stack:
            findings, servers = Findings("Redis", stores.REDIS_CHECKS), RunningServers(None)
            await stores.check_redis(Examination(doctor.settings, findings, servers, stack, print))

    monkeypatch.setattr(Redis, "aclose", slow_close)
    task = asyncio.create_task(examine())
    await begun.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert closed.is_set()
