import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from realtime import channel
from realtime.channel import Channel
from realtime.resume import Resume, ResumePosition, RoomView
from rooms.events import NumberedEvent
from rooms.members import Person
from rooms.room import Room
from runtime.process import ServerProcess
from services.keeper import Keeper
from storage.rooms import rooms
from tests.support.api import ApiClient, ApiFixture
from tests.support.hub import no_data
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_profile, open_room
from tests.support.waiting import until
from tests.support.websockets import close_code_of, invite_repeatedly, next_events

KEPT_EVENTS = 20
"""Events kept in the stored log and in memory."""


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LOG_SIZE", KEPT_EVENTS)
    monkeypatch.setattr(channel, "RECENT_FRAMES", KEPT_EVENTS)


@pytest.fixture
def restarted_api(
    short_log: None,
    io_loop: IOLoop,
    server: ServerProcess,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ApiFixture]:
    """A second server started on the same data, without frames in memory."""

    async def no_first_data(*_: object) -> None:
        pass

    monkeypatch.setattr(ServerProcess, "_store_first_data", no_first_data)
    restarted = ServerProcess(*settings)
    io_loop.run_sync(restarted.start)
    api = ApiFixture(restarted.address)
    yield api
    io_loop.run_sync(api.close)
    io_loop.run_sync(restarted.stop)


class Scenario:
    """A host, two guests and the epoch of their room."""

    def __init__(self, host: ApiClient, bert: ApiClient, anna: ApiClient, epoch: str) -> None:
        self.host, self.bert, self.anna, self.epoch = host, bert, anna, epoch

    async def reconnect(
        self, client: ApiClient, since: object, api: ApiFixture | None = None
    ) -> Any:
        client.api = api or client.api
        return await client.connect(self.host.live_id, epoch=self.epoch, since=since)


async def open_scenario(api: ApiFixture) -> Scenario:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    anna = await api.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    epoch = (await socket.frame())["epoch"]
    await socket.connection.close()
    return Scenario(host, bert, anna, epoch)


@pytest.mark.gen_test(timeout=20)
async def test_missed_events_are_replayed_in_order_as_the_same_bytes(api: ApiFixture) -> None:
    scenario = await open_scenario(api)
    listener = await scenario.bert.connect()
    anna_socket = await scenario.anna.connect()
    await next_events(listener, 1), await next_events(anna_socket, 1)
    await invite_repeatedly(scenario.host, scenario.bert, 2)
    await next_events(anna_socket, 2)
    await anna_socket.connection.close()
    await invite_repeatedly(scenario.host, scenario.bert, 3)
    received = await next_events(listener, 5)
    reconnected = await scenario.reconnect(scenario.anna, 2)
    assert await reconnected.frame() == {
        "type": "resumed",
        "live_id": scenario.host.live_id,
        "epoch": scenario.epoch,
        "seq": 5,
        "replayed": 3,
    }
    assert await next_events(reconnected, 3) == received[2:]
    await invite_repeatedly(scenario.host, scenario.bert, 1)
    assert await next_events(reconnected, 1) == await next_events(listener, 1)


@pytest.mark.gen_test(timeout=20)
async def test_each_resume_continues_where_the_previous_ended(
    api: ApiFixture, server: ServerProcess
) -> None:
    """With and without missed events; those without any local listener are read from the log."""
    scenario = await open_scenario(api)
    for position in (0, 2, 4):
        for _ in range(2):
            reconnected = await scenario.reconnect(scenario.anna, position)
            resumed = await reconnected.frame()
            assert (resumed["type"], resumed["seq"], resumed["replayed"]) == (
                "resumed",
                position,
                0,
            )
        await reconnected.connection.close()
        await until(lambda: not server.context.hub.channels)
        await invite_repeatedly(scenario.host, scenario.bert, 1)
        reconnected = await scenario.reconnect(scenario.anna, position)
        assert (await reconnected.frame())["replayed"] == 1
        await invite_repeatedly(scenario.host, scenario.bert, 1)
        assert [json.loads(t)["seq"] for t in await next_events(reconnected, 2)] == [
            position + 1,
            position + 2,
        ]


@pytest.mark.gen_test(timeout=20)
async def test_resume_works_after_an_hour_without_events(
    api: ApiFixture, server: ServerProcess
) -> None:
    scenario = await open_scenario(api)
    socket = await scenario.anna.connect()
    await next_events(socket, 1)
    hub = server.context.hub
    await hub.send_audience_counts(server.context.stores.members.counts)
    await socket.audience()  # not between the heartbeats
    hour = time.monotonic() + 3600
    for seconds in (0, 60, 120):
        hub.send_heartbeats(hour + seconds, every=25, silent=1e9)
    assert [(await socket.frame())["type"] for _ in range(2)] == ["heartbeat"] * 2
    await socket.connection.close()
    await until(lambda: not hub.channels)
    reconnected = await scenario.reconnect(scenario.anna, 0)
    assert (await reconnected.frame())["replayed"] == 0
    await invite_repeatedly(scenario.host, scenario.bert, 1)
    assert (await reconnected.next("micro_invite"))["seq"] == 1


@pytest.mark.gen_test(timeout=30)
async def test_restarted_server_replays_the_same_bytes_from_the_log(
    api: ApiFixture, restarted_api: ApiFixture
) -> None:
    scenario = await open_scenario(api)
    listener = await scenario.bert.connect()
    await next_events(listener, 1)
    await invite_repeatedly(scenario.host, scenario.bert, KEPT_EVENTS + 3)
    (await scenario.bert.post("qlive_room/accept_micro/", live_id=scenario.host.live_id)).ok()
    received = (await next_events(listener, KEPT_EVENTS + 4))[4:]
    for server_api in (api, restarted_api):
        reconnected = await scenario.reconnect(scenario.anna, 4, server_api)
        assert (await reconnected.frame())["replayed"] == KEPT_EVENTS
        assert await next_events(reconnected, KEPT_EVENTS) == received
        too_old = await scenario.reconnect(scenario.anna, 3, server_api)
        snapshot = await too_old.frame()
        assert (snapshot["type"], snapshot["reset"]) == ("snapshot", "too_old")
        assert (snapshot["seq"], snapshot["data"]["male"]["user_id"]) == (
            KEPT_EVENTS + 4,
            scenario.bert.id,
        )
    await invite_repeatedly(scenario.host, scenario.anna, 1)
    assert json.loads((await next_events(too_old, 1))[0])["seq"] == KEPT_EVENTS + 5, (
        "no event is delivered in between"
    )


@pytest.mark.gen_test(timeout=20)
async def test_resume_from_another_epoch_gets_a_snapshot(api: ApiFixture) -> None:
    scenario = await open_scenario(api)
    await invite_repeatedly(scenario.host, scenario.bert, 3)
    (await scenario.host.post("qlive_room/live_end/", live_id=scenario.host.live_id)).ok()
    (await scenario.host.post("qlive_room/matchmaker_enter/")).ok()
    (await scenario.anna.get("get_playurl/", live_id=scenario.host.live_id)).ok()
    snapshot = await (await scenario.reconnect(scenario.anna, 0)).frame()
    assert (snapshot["type"], snapshot["reset"], snapshot["seq"]) == ("snapshot", "epoch", 0)
    assert snapshot["epoch"] != scenario.epoch
    without_epoch = await scenario.anna.connect(scenario.host.live_id, since=0)
    assert (await without_epoch.frame())["reset"] == "epoch"


@pytest.mark.gen_test(timeout=20)
async def test_only_members_can_resume(api: ApiFixture) -> None:
    scenario = await open_scenario(api)
    await invite_repeatedly(scenario.host, scenario.bert, 1)
    (await scenario.anna.get("qlive_room/leave_room/", live_id=scenario.host.live_id)).ok()
    assert await close_code_of(await scenario.reconnect(scenario.anna, 0)) == 4504
    (await api.ops("PATCH", f"users/{scenario.bert.id}", banned=True, ban_reason="rude")).ok()
    assert await close_code_of(await scenario.reconnect(scenario.bert, 0)) == 4503


class NoBus:
    """A listener of changes that publishes nothing, as while the bus is away."""

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None: ...

    def mark_audience_changed(self, live_id: int) -> None: ...

    def evict(
        self, live_id: int, user_id: str, number: int, *, banned_until_left: bool
    ) -> None: ...


async def rename_host_elsewhere(server: ServerProcess, host: ApiClient, times: int) -> None:
    """Adds as many events to the room in one change, and publishes none of them."""
    keeper = Keeper(server.context.stores.rooms, NoBus())

    def rename(room: Room) -> None:
        for n in range(times):
            room.update_profile(Person(host.id, f"host {n}", gender=2))

    await keeper.change(host.live_id, rename, host.id)


@pytest.mark.gen_test(timeout=20)
async def test_open_sockets_of_a_room_that_fell_behind_get_one_snapshot(
    short_log: None, api: ApiFixture, server: ServerProcess
) -> None:
    scenario = await open_scenario(api)
    sockets = [await scenario.bert.connect(), await scenario.anna.connect()]
    for socket in sockets:
        await socket.next("snapshot")
    missed = KEPT_EVENTS + 3
    await rename_host_elsewhere(server, scenario.host, missed)
    await server.context.hub.check()
    await invite_repeatedly(scenario.host, scenario.bert, 1)
    (snapshot, invite), others = [await next_events(socket, 2) for socket in sockets]
    assert others == [snapshot, invite], "the same bytes"
    frame = json.loads(snapshot)
    assert (frame["type"], frame["reset"], frame["seq"]) == ("snapshot", "too_old", missed)
    assert frame["data"]["room_name"] == f"host {missed - 1}"
    event = json.loads(invite)
    assert (event["type"], event["seq"]) == ("micro_invite", missed + 1)
    resumed = await scenario.reconnect(scenario.anna, missed)
    assert (await resumed.frame())["replayed"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_sockets_that_resume_together_share_the_reads_of_the_log(
    stores: StoresFixture, commands: list[str]
) -> None:
    """As after a restart: the process has no frame in memory, and every client has missed one."""
    live_id = await open_room(stores)
    await change_profile(stores, live_id, 2)
    room, position = Channel(live_id), ResumePosition("e1", 1)

    async def load_view() -> RoomView:
        return RoomView("e1", 2, no_data)

    async def load_room(_live_id: int) -> RoomView:
        return await load_view()

    commands.clear()
    reads = [
        Resume(room, stores.rooms, load_room, str(n), position).read(load_view) for n in range(50)
    ]
    (resumed, event), *others = await asyncio.gather(*reads)
    assert b'"replayed":1' in resumed
    assert b'"nickname":"n1"' in event
    assert others == [[resumed, event]] * 49
    assert len(commands) <= 2
    commands.clear()
    later = Resume(room, stores.rooms, load_room, "later", position)
    assert await later.read(load_view) == [resumed, event]
    assert commands == []
