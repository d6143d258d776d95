"""Two servers with one database and a Redis: events and evictions reach sockets of both.

Also while Redis is lost.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tornado.ioloop import IOLoop

from config.settings import Settings
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.callbacks import CallbackSender, proposed
from tests.support.chat import group_of
from tests.support.mic import report_stream, stream_of
from tests.support.payments import create_order, pay_order
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.programs


class ServerPair:
    """Two servers in this process with one simulator, and an ApiFixture for each."""

    def __init__(self, settings: Settings, simulator_key: str) -> None:
        self.settings, self.simulator_key = settings, simulator_key
        self.servers: list[ServerProcess] = []
        self.apis: list[ApiFixture] = []

    async def start(self) -> None:
        await self._start_server()
        await self._start_server()
        await self.wait_for_bus(healthy=True)

    async def stop(self) -> None:
        for api in self.apis:
            await api.close()
        for server in reversed(self.servers):  # the first one has the simulator
            await server.stop()

    async def _start_server(self) -> None:
        settings = self.settings
        if self.servers:
            settings = settings.at("", f"{self.servers[0].address}/sim")
        server = ServerProcess(settings, self.simulator_key)
        self.servers.append(server)
        await server.start()
        self.apis.append(ApiFixture(server.address))

    def on_second(self, client: ApiClient) -> ApiClient:
        """A client of the same user on the second server."""
        account = {"token": client.token, "user_id": client.id}
        other = ApiClient(self.apis[1], client.name, account)
        other.live_id = client.live_id
        return other

    async def wait_for_bus(self, *, healthy: bool) -> None:
        """Waits until the buses of both servers are connected to Redis, or have lost it."""
        for server in self.servers:
            bus = server.context.bus
            await until(lambda: bus.healthy == healthy)  # noqa: B023


@pytest.fixture
def check_seconds() -> float:
    """Interval of the check for missed events; a test of the bus alone makes it long."""
    return 1


@pytest.fixture
def changes(redis_server: RedisServer, check_seconds: float) -> dict[str, Any]:
    return {
        "realtime": {"check_seconds": check_seconds},
        "im": {"relay": False},  # whose messages no test here looks at
        "redis": {"url": redis_server.url},
    }


@pytest.fixture
def pair(io_loop: IOLoop, settings: tuple[Settings, str]) -> Iterator[ServerPair]:
    pair = ServerPair(*settings)
    io_loop.run_sync(pair.start)
    yield pair
    io_loop.run_sync(pair.stop)


async def apply_and_refuse(guest: ApiClient, listener: Socket) -> None:
    (await guest.post("qlive_room/apply_micro/", live_id=guest.live_id)).ok()
    await listener.next("micro_apply")
    (await guest.post("qlive_room/refuse_micro/", live_id=guest.live_id)).ok()
    await listener.next("micro_refuse")


# ---- users who are removed


async def put_out(_pair: ServerPair, host: ApiClient, guest: ApiClient) -> None:
    params = {"live_id": host.live_id, "user_id": guest.id}
    (await host.post("qlive_room/put_out/", **params)).ok()


async def ban(pair: ServerPair, _host: ApiClient, guest: ApiClient) -> None:
    (await pair.apis[0].ops("PATCH", f"users/{guest.id}", banned=True, ban_reason="x")).ok()


async def log_out(_pair: ServerPair, _host: ApiClient, guest: ApiClient) -> None:
    (await guest.get("qlive_user/logout/")).ok()


async def leave(_pair: ServerPair, host: ApiClient, guest: ApiClient) -> None:
    (await guest.get("qlive_room/leave_room/", live_id=host.live_id)).ok()


async def end(_pair: ServerPair, host: ApiClient, _guest: ApiClient) -> None:
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()


CLOSE_CODES = {put_out: 4503, ban: 4503, leave: 4504, log_out: 4401, end: 4510}
"""`end` is the last one: it ends the room of all."""


class RemoteGuest(NamedTuple):
    """A guest with a client on each server and a socket on the second."""

    first: ApiClient
    second: ApiClient
    socket: Socket


async def enter(pair: ServerPair, host: ApiClient, name: str) -> RemoteGuest:
    """The second server has cached the guest's token afterwards."""
    first = await pair.apis[0].guest(name, 1, host.live_id)
    second = pair.on_second(first)
    (await second.get("get_livelist/")).ok()
    return RemoteGuest(first, second, await second.watch())


async def check_a_mute_a_block_and_a_forbidden_stream_reach_the_other_process(
    pair: ServerPair, host: ApiClient, guest: ApiClient
) -> None:
    """Its answers change within two seconds without the bus."""
    room, group_id = {"live_id": host.live_id}, await group_of(guest)

    async def answers() -> tuple[int, str, str]:
        sender, client = CallbackSender(pair.apis[1], pair.settings), pair.on_second(guest)
        message = (await sender.im(proposed(guest.id, GroupId=group_id))).ok()
        profile = await client.get("qlive_user/get_userinfo/", user_id=host.id)
        seat = await client.post("qlive_room/accept_micro/", **room)
        return message["ErrorCode"], profile.json.get("code", ""), seat.json.get("code", "")

    async def is_refused() -> bool:
        return await answers() == (10101, "blocked", "stream_forbidden")

    (await guest.post("qlive_room/apply_micro/", **room)).ok()
    assert await answers() == (0, "", "")
    (await host.post("qlive_room/mute/", user_id=guest.id, minutes=5, **room)).ok()
    (await host.post("qlive_user/block/", user_id=guest.id, blocked=True)).ok()
    seat = (await guest.post("qlive_room/accept_micro/", **room)).ok()
    await report_stream(pair.apis[0], pair.servers[0], stream_of(seat), suggestion="Block")
    await until(is_refused)


# ---- user channels


class UserChannelSockets:
    """Four sockets of a user, half of them on each server, the first of which is replaced."""

    def __init__(self, user: ApiClient, oldest: Socket, others: list[Socket]) -> None:
        self.user, self.oldest, self.others = user, oldest, others

    async def check_a_payment(self, api: ApiFixture) -> None:
        """Every socket is told once, and all of the same number."""
        paid = await pay_order(api, await create_order(self.user))
        events = [await socket.next("payment") for socket in self.others]
        assert {(event["seq"], event["data"]["order"]) for event in events} == {
            (events[0]["seq"], paid["order"])
        }
        for socket in self.others:
            while (await socket.data_of("balance"))["gold"] != 60 * events[0]["seq"]:
                pass


async def open_channels(pair: ServerPair, name: str) -> UserChannelSockets:
    user = await pair.apis[0].user(name, 2)
    sockets = []
    for client in (user, pair.on_second(user)) * 2:
        sockets.append(await client.user_channel())
        await sockets[-1].next("snapshot")
    return UserChannelSockets(user, sockets[0], sockets[1:])


# ---- tests


@pytest.mark.parametrize("check_seconds", [120])
async def test_the_bus_brings_events_counts_and_removals_to_sockets_of_the_other_process(
    pair: ServerPair,
) -> None:
    host = await pair.apis[0].host()
    older = await host.watch()
    listener = await pair.on_second(host).watch()
    assert await older.close_code() == 4509  # replaced by the newer one
    hub = pair.servers[1].context.hub
    backfilled = hub.backfills.events
    bert = await pair.apis[0].guest("bert", 1, host.live_id)
    while (await listener.audience())["num_list"] != [0, 1, 0, 0]:
        pass
    for _ in range(10):
        await apply_and_refuse(bert, listener)
    assert hub.backfills.events == backfilled, "no gap between the events of the bus"

    await check_a_mute_a_block_and_a_forbidden_stream_reach_the_other_process(pair, host, bert)
    channels = await open_channels(pair, "carla")
    assert await channels.oldest.close_code() == 4509
    await channels.check_a_payment(pair.apis[0])
    guests = {remove: await enter(pair, host, remove.__name__) for remove in CLOSE_CODES}
    for remove, code in CLOSE_CODES.items():
        guest = guests[remove]
        await remove(pair, host, guest.first)
        assert await guest.socket.close_code() == code, remove
        again = await guest.second.connect(since=0, epoch="x")
        assert await again.close_code() == code, remove
    assert (await guests[log_out].second.get("get_livelist/")).refusal == (401, "token")


async def test_without_redis_events_and_removals_arrive_by_the_checks(
    pair: ServerPair, redis_server: RedisServer
) -> None:
    host = await pair.apis[0].host()
    bert = await pair.apis[0].guest("bert", 1, host.live_id)
    removals = (put_out, ban, log_out)
    guests = [await enter(pair, host, remove.__name__) for remove in removals]
    listener = await pair.on_second(host).watch()
    channels = await open_channels(pair, "carla")
    redis_server.kill()
    await apply_and_refuse(bert, listener)
    await channels.check_a_payment(pair.apis[0])
    await channels.check_a_payment(pair.apis[0])
    for remove, guest in zip(removals, guests, strict=True):
        await remove(pair, host, guest.first)
    codes = [await guest.socket.close_code() for guest in guests]
    assert codes == [CLOSE_CODES[remove] for remove in removals]
    assert (await guests[-1].second.get("get_livelist/")).refusal == (401, "token")
    await pair.wait_for_bus(healthy=False)
    for api in pair.apis:
        ready = await api.request("GET", "/readyz")
        assert (ready.status, ready.json["status"]) == (200, "degraded")
        assert ready.json["dependencies"]["redis"]["state"] == "down"
        assert (await api.request("GET", "/healthz")).status == 200
