import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from chaos.redis_program import find_redis
from settings import Settings
from tests.deploy.front import OPS_TOKEN, deployed
from tests.deploy.member import documented_role, documented_user
from tests.phones import Street
from tests.ports import answers, free_port
from tests.test_server import ROOT, Program

pytestmark = [pytest.mark.programs, pytest.mark.linux]


@pytest.mark.gen_test(timeout=60)
async def test_the_servers_user_may_do_what_the_server_does_and_no_more(
    folder: Path, member: str
) -> None:
    with MongoClient[Any](f"mongodb://root:root@{member}/?replicaSet=qlive") as client:
        said = client.admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
        assert said["transactionLifetimeLimitSeconds"] == 5
        client.qlive.command("createUser", "qlive", **documented_user("qlive"))
        client.admin.command("createUser", "backup", **documented_user("backup"))
    uri = f"mongodb://qlive:secret@{member}/?replicaSet=qlive&authSource=qlive"
    program = Program(folder, mongodb__uri=uri, ops__token=OPS_TOKEN)
    async with program.serving() as (process, address):
        street = Street(address, OPS_TOKEN)
        host = await street.host()
        guest = await street.guest("bert", 1, host.live_id, gold=1000)
        gift = (await guest.get("qlive_gift/")).ok()["results"][0]
        await guest.get("qlive_gift/push_gift/", user_id=host.id, gift_id=gift["id"])
        await street.close()
        process.terminate()
        await process.wait()
    status, said, complaint = await program.run("check-ledger")
    assert (status, said) == (0, "Every unit of gold and income is accounted for.\n"), complaint
    assert "not authorized" not in (folder / "server.log").read_text()
    with MongoClient[Any](uri) as client, pytest.raises(OperationFailure, match="not authorized"):
        client.other.things.insert_one({})
    with MongoClient[Any](f"mongodb://backup:secret@{member}/?replicaSet=qlive") as client:
        assert client.qlive.ledger.count_documents({}) == 2
        assert client.local["oplog.rs"].find_one()
        with pytest.raises(PyMongoError, match="not authorized"):
            client.qlive.ledger.delete_many({})


@pytest.fixture
def an_oplog(member: str) -> list[dict[str, Any]]:
    """What happened to qlive.things, as mongorestore --oplogReplay sends it, one by one."""
    with MongoClient[Any](f"mongodb://root:root@{member}/?replicaSet=qlive") as client:
        things = client.qlive.things
        things.insert_many([{"_id": n, "n": n} for n in range(3)])
        things.update_one({"_id": 1}, {"$inc": {"n": 10}})
        things.delete_one({"_id": 2})
        found = client.local["oplog.rs"].find({"ns": "qlive.things"}, {"ui": 0})
        entries = list(found.sort("$natural", 1))
        things.delete_many({})
        client.admin.command("createRole", "replay", **documented_role("replay"))
        client.admin.command("createUser", "restore", **documented_user("restore"))
        client.admin.command("createUser", "other", pwd="secret", roles=["restore"])
    assert [entry["op"] for entry in entries] == ["i", "i", "i", "u", "d"]
    return entries


@pytest.mark.parametrize(("user", "may"), [("restore", "iiiud"), ("other", "iii")])
def test_a_dump_is_replayed_by_the_user_for_it_and_mongodbs_own_role_is_not_enough(
    member: str, an_oplog: list[dict[str, Any]], user: str, may: str
) -> None:
    done = ""
    with MongoClient[Any](f"mongodb://{user}:secret@{member}/?replicaSet=qlive") as client:
        with suppress(OperationFailure):
            for entry in an_oplog:
                client.admin.command("applyOps", [entry])
                done += entry["op"]
        assert done == may
        if may == "iiiud":
            assert list(client.qlive.things.find()) == [{"_id": 0, "n": 0}, {"_id": 1, "n": 11}]


@pytest.mark.gen_test(timeout=20)
async def test_after_a_restore_no_new_room_takes_the_group_of_one_that_was_lost(
    street: Street, settings: tuple[Settings, Any]
) -> None:
    """The very line of docs/deploy.md."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    line = re.search(r"counters\.updateOne\((\{_id: .*?\}), (\{.*?\}\})\)", text)
    assert line
    where, what = (json.loads(re.sub(r"([$\w]+):", r'"\1":', part)) for part in line.groups())
    restored = (await street.host()).live_id
    with MongoClient[Any](settings[0].mongodb.uri) as client:
        counters = client[settings[0].mongodb.database].counters
        assert counters.update_one(where, what).modified_count == 1
    assert (await street.host("媒婆")).live_id == restored + 1001


class OwnRedis:
    """deploy/redis.conf on a port of this test; in it the password is `password`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder

    @contextmanager
    def running(self, password: str = ">CHANGE-ME") -> Iterator[None]:
        changes = {
            "bind 127.0.0.1 10.0.0.31": "bind 127.0.0.1",
            "port 6379": f"port {self.port}",
            ">CHANGE-ME": password,
        }
        (self._folder / "redis.conf").write_text(deployed("redis.conf", changes))
        words = [find_redis(), str(self._folder / "redis.conf")]
        with subprocess.Popen(words, cwd=self._folder, stdout=subprocess.DEVNULL) as process:
            try:
                while not answers(self.port):
                    assert process.poll() is None
                yield
            finally:
                process.kill()

    def client(self, password: str) -> "redis.Redis":
        return redis.Redis(port=self.port, username="qlive", password=password)


@pytest.fixture
def own_redis(tmp_path: Path) -> OwnRedis:
    return OwnRedis(tmp_path)


def test_redis_lets_the_server_speak_and_keeps_nothing(own_redis: OwnRedis) -> None:
    with own_redis.running(), own_redis.client("CHANGE-ME") as client:
        hearing = client.pubsub()
        hearing.subscribe("here")
        assert hearing.get_message(timeout=5)
        assert client.publish("here", "word") == 1
        heard = hearing.get_message(timeout=5)
        assert heard
        assert heard["data"] == b"word"
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("key", 1)
        hearing.close()
        with (
            redis.Redis(port=own_redis.port) as stranger,
            pytest.raises(redis.exceptions.AuthenticationError),
        ):
            stranger.ping()


def test_redis_takes_a_new_password_beside_the_old_one_from_its_file_alone(
    own_redis: OwnRedis,
) -> None:
    with (
        own_redis.running(">OLD"),
        own_redis.client("OLD") as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.acl_setuser("qlive", passwords=["+NEW"])
    with own_redis.running(">OLD >NEW"):
        for password in ("OLD", "NEW"):
            with own_redis.client(password) as client:
                assert client.publish("here", "word") == 0
    with own_redis.running(">NEW"):
        with own_redis.client("NEW") as client:
            assert client.publish("here", "word") == 0
        with (
            own_redis.client("OLD") as client,
            pytest.raises(redis.exceptions.AuthenticationError),
        ):
            client.ping()
