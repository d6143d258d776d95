"""Chat groups at the simulated IM, with rooms on a real MongoDB."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from core.clock import now_ms
from devtools.simulator.simulator import Simulator
from services.chat.groups import GroupService
from services.room_changes import RoomChanges
from services.rooms.consequences import consequences
from tencent.im import ImClient
from tests.support.room_builders import BERT, CARL, HOST
from tests.support.room_changes import RecordingListener
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, load_room, open_room, remove_user

OTHERS = {"Owner_Account": "other_owner"}


class GroupFixture:
    """Group services on one database and one IM, each like one process."""

    def __init__(self, stores: StoresFixture, simulator: Simulator, im: ImClient) -> None:
        self.stores = stores
        self.simulator = simulator
        self.im = im
        self.listener = RecordingListener()
        self.service = self.process()

    def process(self, im: Any = None) -> GroupService:
        room_changes = RoomChanges(self.stores, consequences(self.stores), self.listener)
        return GroupService(self.stores, room_changes, im or self.im)

    @property
    def at_im(self) -> dict[str, dict[str, Any]]:
        return self.simulator.im.groups

    async def live(self) -> tuple[int, str]:
        """A live room whose group exists: (live_id, group_id)."""
        live_id = await open_room(self.stores)
        group_id = await self.group_of(live_id)
        await self.service.ensure(live_id, group_id)
        return live_id, group_id

    async def group_of(self, live_id: int) -> str:
        return (await load_room(self.stores, live_id)).group_id

    async def is_ready(self) -> bool:
        return (await self.stores.rooms.get_or_create(HOST))[2]

    async def events(self, live_id: int) -> list[tuple[str, Any]]:
        events = await self.stores.rooms.log_since(live_id, "e1", 0)
        assert events is not None
        return [(event.type, event.data) for event in events]


@pytest.fixture
def groups(stores: StoresFixture, simulator: Simulator, im: ImClient) -> GroupFixture:
    return GroupFixture(stores, simulator, im)


# ---- replacement


async def test_room_gets_a_new_group_for_one_that_was_dissolved(groups: GroupFixture) -> None:
    live_id, dissolved = await groups.live()
    del groups.at_im[dissolved]
    await groups.service.replace(live_id, dissolved)
    group_id = await groups.group_of(live_id)
    assert list(groups.at_im) == [group_id]
    assert group_id != dissolved
    assert await groups.is_ready()
    assert await groups.events(live_id) == [("group", {"group_id": group_id})]
    assert groups.listener.calls == [("publish", live_id, (1, "group"))]


async def test_users_removed_from_the_room_or_muted_are_muted_in_a_new_group(
    groups: GroupFixture,
) -> None:
    live_id, group_id = await groups.live()
    until = now_ms() + 60_000
    await change_room(groups.stores, live_id, lambda room: room.mute(HOST, "m", until, room.epoch))
    await change_room(groups.stores, live_id, lambda room: room.set_mute_all(HOST.user_id, on=True))
    for person, until in ((BERT, now_ms() + 60_000), (CARL, now_ms() - 1)):
        await remove_user(groups.stores, live_id, person, until)
    outbox = groups.stores.database.collection("outbox")
    await outbox.delete_many({})
    del groups.at_im[group_id]
    await groups.service.replace(live_id, group_id)
    queued = await outbox.find().to_list()
    assert {message["state"] for message in queued} == {"urgent"}
    assert [(message["kind"], message["payload"]) for message in queued] == [
        ("mute_again", {"user_id": BERT.user_id, "live_id": live_id}),
        ("mute_again", {"user_id": "m", "live_id": live_id}),
        ("mute_again", {"live_id": live_id}),
    ]


@pytest.mark.parametrize("dissolved", [False, True])
async def test_next_live_mutes_removed_users_only_if_the_group_had_to_be_created(
    groups: GroupFixture, *, dissolved: bool
) -> None:
    live_id, group_id = await groups.live()
    await remove_user(groups.stores, live_id, BERT, now_ms() + 60_000)
    outbox = groups.stores.database.collection("outbox")
    await outbox.delete_many({})
    if dissolved:
        del groups.at_im[group_id]
    await groups.process().ensure(live_id, group_id)
    assert list(groups.at_im) == [group_id] == [await groups.group_of(live_id)]
    kinds = [message["kind"] for message in await outbox.find().to_list()]
    assert kinds == ["mute_again"] * dissolved


async def test_processes_that_notice_at_once_make_one_new_group(groups: GroupFixture) -> None:
    live_id, dissolved = await groups.live()
    del groups.at_im[dissolved]
    await asyncio.gather(*(groups.process().replace(live_id, dissolved) for _ in range(5)))
    assert list(groups.at_im) == [await groups.group_of(live_id)]
    assert len(await groups.events(live_id)) == 1


async def test_late_report_of_an_earlier_group_changes_nothing(groups: GroupFixture) -> None:
    live_id, dissolved = await groups.live()
    await groups.service.replace(live_id, dissolved)
    before = dict(groups.at_im)
    await groups.service.replace(live_id, dissolved)
    await groups.service.ensure(live_id, dissolved)
    assert groups.at_im == before
    assert len(await groups.events(live_id)) == 1


async def test_replacement_cut_short_after_the_creation_is_completed_with_the_same_id(
    groups: GroupFixture,
) -> None:
    class Killed(BaseException):
        pass

    async def create_group_and_die(*arguments: str) -> None:
        await groups.im.create_group(*arguments)
        raise Killed

    live_id, dissolved = await groups.live()
    del groups.at_im[dissolved]
    dying = groups.process(SimpleNamespace(create_group=create_group_and_die))
    with pytest.raises(Killed):
        await dying.replace(live_id, dissolved)
    [created] = groups.at_im
    assert await groups.group_of(live_id) == dissolved
    await groups.service.replace(live_id, dissolved)
    assert await groups.group_of(live_id) == created
    assert list(groups.at_im) == [created]


async def test_id_that_others_use_is_replaced_with_an_event(groups: GroupFixture) -> None:
    live_id, group_id = await groups.live()
    groups.at_im[group_id] = OTHERS
    await groups.service.ensure(live_id, group_id)
    replacement = await groups.group_of(live_id)
    assert groups.at_im[replacement]["Owner_Account"] == HOST.user_id
    assert groups.at_im[group_id] == OTHERS
    assert await groups.events(live_id) == [("group", {"group_id": replacement})]
