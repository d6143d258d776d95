"""Two servers on one database, with a real Redis between them: what one does, the other's
sockets hear, whatever becomes of Redis and of the servers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from devsecrets import DevSecrets
from server import Server
from settings import Settings
from tests.phones import Phone, Socket, Street
from tests.redis_server import RedisServer

pytestmark = pytest.mark.programs

TIMEOUT = 40


class Pair:
    """Two servers, and a street before each."""

    def __init__(self, settings: Settings, dev: DevSecrets) -> None:
        self.servers = [Server(settings, dev), Server(settings, dev)]
        self.streets: list[Street] = []

    async def start(self) -> None:
        for server in self.servers:
            await server.start()
            self.streets.append(Street(server.address, server.settings.ops.token))

    async def stop(self) -> None:
        for street in self.streets:
            await street.close()
        for server in self.servers:
            await server.stop()

    def over_there(self, phone: Phone) -> Phone:
        """The same person's calls and sockets, on the other server."""
        account = {"token": phone.token, "user_id": phone.id}
        other = Phone(self.streets[1], phone.name, account)
        other.live_id = phone.live_id
        return other

    async def settled(self) -> None:
        """Both hear each other."""
        for server in self.servers:
            while not server.parts.bus.healthy:
                await asyncio.sleep(0.02)


@pytest.fixture
def changes(redis_server: RedisServer) -> dict[str, Any]:
    return {
        "redis": {"url": redis_server.url},
        "presence": {"lease_seconds": 1.5, "shown_after_seconds": 0.2, "viewer_seconds": 4},
    }


@pytest.fixture
def pair(io_loop: IOLoop, settings: tuple[Settings, DevSecrets]) -> Iterator[Pair]:
    pair = Pair(*settings)
    io_loop.run_sync(pair.start)
    io_loop.run_sync(pair.settled)
    yield pair
    io_loop.run_sync(pair.stop)


async def joined(phone: Phone) -> Socket:
    socket = await phone.connect()
    await socket.next("snapshot")
    return socket


@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_what_one_process_saves_the_sockets_of_the_other_hear(pair: Pair) -> None:
    host = await pair.streets[0].host()
    listener = await joined(pair.over_there(host))
    filled = pair.servers[1].parts.hub.hints_filled
    guest = await pair.streets[0].guest("bert", 1, host.live_id)
    for _ in range(10):
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
        await listener.next("micro_apply")
        (await guest.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
        await listener.next("micro_refuse")
    assert (
        pair.servers[1].parts.hub.hints_filled == filled
    )  # all came by the bus, none by the check


@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_the_audience_is_counted_on_the_other_process_too(pair: Pair) -> None:
    host = await pair.streets[0].host()
    listener = await joined(pair.over_there(host))
    await pair.streets[0].guest("bert", 1, host.live_id)
    while (await listener.audience())["num_list"] != [0, 1, 0, 0]:
        pass


@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_a_newer_socket_replaces_the_older_one_on_another_process(pair: Pair) -> None:
    host = await pair.streets[0].host()
    older = await joined(host)
    newer = await joined(pair.over_there(host))
    assert await older.closed() == 4509
    guest = await pair.streets[0].guest("bert", 1, host.live_id)
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await newer.next("micro_apply")  # and no word of anybody being away


Act = Callable[[Pair, Phone, Phone], Awaitable[int]]


async def put_out(_pair: Pair, host: Phone, guest: Phone) -> int:
    asked = {"live_id": host.live_id, "user_id": guest.id}
    (await host.post("qlive_room/put_out/", **asked)).ok()
    return 4503


async def ban(pair: Pair, _host: Phone, guest: Phone) -> int:
    (await pair.streets[0].ops("PATCH", f"users/{guest.id}", banned=True)).ok()
    return 4503


async def log_out(_pair: Pair, _host: Phone, guest: Phone) -> int:
    (await guest.get("qlive_user/logout/")).ok()
    return 4401


async def leave(_pair: Pair, host: Phone, guest: Phone) -> int:
    (await guest.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    return 4504


async def end(_pair: Pair, host: Phone, _guest: Phone) -> int:
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    return 4510


@pytest.mark.parametrize("act", [put_out, ban, log_out, leave, end])
@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_whoever_is_out_hears_nothing_more_on_any_process(pair: Pair, act: Act) -> None:
    host = await pair.streets[0].host()
    guest = await pair.streets[0].guest("bert", 1, host.live_id)
    there = pair.over_there(guest)
    socket = await joined(there)
    code = await act(pair, host, guest)
    assert await socket.closed() == code
    again = await there.connect(since=0, epoch="x")
    assert await again.closed() == {4504: 4504, 4510: 4510, 4401: 4401}.get(code, 4503)


@pytest.mark.parametrize("act", [put_out, ban, log_out])
@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_without_redis_whoever_is_put_out_is_out_a_second_later(
    pair: Pair, redis_server: RedisServer, act: Act
) -> None:
    host = await pair.streets[0].host()
    guest = await pair.streets[0].guest("bert", 1, host.live_id)
    socket = await joined(pair.over_there(guest))
    redis_server.kill()
    assert await act(pair, host, guest) == await socket.closed()


@pytest.mark.parametrize("by", ["the bus", "the database"])
@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_whose_token_was_given_back_may_not_even_read_on_the_other_process(
    pair: Pair, redis_server: RedisServer, by: str
) -> None:
    host = await pair.streets[0].host()
    guest = await pair.streets[0].guest("bert", 1, host.live_id)
    there = pair.over_there(guest)
    socket = await joined(there)
    (await there.get("get_livelist/")).ok()  # from here on they are known there
    if by == "the database":
        redis_server.kill()
    (await guest.get("qlive_user/logout/")).ok()
    assert await socket.closed() == 4401
    assert (await there.get("get_livelist/")).refusal == (401, "token")


@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_without_redis_events_arrive_by_the_check_and_with_it_by_the_bus_again(
    pair: Pair, redis_server: RedisServer
) -> None:
    host = await pair.streets[0].host()
    guest = await pair.streets[0].guest("bert", 1, host.live_id)
    listener = await joined(pair.over_there(host))
    redis_server.kill()
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await listener.next("micro_apply")
    for server, street in zip(pair.servers, pair.streets, strict=True):
        while server.parts.bus.healthy:
            await asyncio.sleep(0.02)
        ready = await street.ask("GET", "/readyz")
        assert ready.status == 200
        assert ready.json["status"] == "degraded"
        assert ready.json["dependencies"]["redis"]["state"] == "down"
        assert (await street.ask("GET", "/healthz")).status == 200
    redis_server.start()
    await pair.settled()
    filled = pair.servers[1].parts.hub.hints_filled
    (await guest.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
    await listener.next("micro_refuse")
    assert pair.servers[1].parts.hub.hints_filled == filled
    assert (await pair.streets[0].ask("GET", "/readyz")).json["status"] == "ok"


@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_people_of_a_process_that_vanished_are_away_and_then_gone(
    pair: Pair, mongo_uri: str
) -> None:
    host = await pair.streets[0].host()
    guest = await pair.streets[0].guest("bert", 1, host.live_id)
    listener = await joined(host)
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        db = client[pair.servers[0].settings.mongodb.database]
        # As a process leaves things that is killed: its name on a member, its lease running out.
        change = {"process": "killed", "socket": 1, "seen_at": 0}
        db.members.update_one({"_id": guest.id}, {"$set": change})
        await pair.servers[0].parts.places.renew("killed", 0.1)
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
        await listener.next("micro_apply")
        refused = await listener.next("micro_refuse")
        assert refused["data"]["reason"] == "offline"
        assert db.members.count_documents({"_id": guest.id}) == 0


@pytest.mark.gen_test(timeout=TIMEOUT)
async def test_a_process_taken_for_dead_says_that_its_people_are_here(pair: Pair) -> None:
    host = await pair.streets[0].host()
    listener = await joined(host)
    there = pair.servers[1].parts
    while (await there.keeper.look(host.live_id)).status != "paused":
        await there.places.bury(pair.servers[0].parts.process, 1)
        await there.presence.look_after()
    for type_ in ("member_away", "live_pause", "member_back", "live_resume"):
        await listener.next(type_)
