"""Deputies under concurrent requests, on a real MongoDB."""

import asyncio
from typing import Any

import pytest

from core.errors import QLiveError
from rooms.errors import TooManyDeputies
from rooms.inviting_room import MAX_DEPUTIES
from rooms.members import Person
from runtime.process import ServerProcess
from services.room_changes import RoomChanges
from tests.support.api import ApiFixture
from tests.support.races import run_after
from tests.support.room_builders import ANNA, BERT, CARL, DORA, HOST
from tests.support.room_changes import RecordingListener
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import load_room, open_room


async def test_namings_at_once_on_two_processes_never_give_four(stores: StoresFixture) -> None:
    live_id = await open_room(stores, ANNA, BERT, CARL, DORA)
    processes: list[Any] = [RoomChanges(stores.rooms, RecordingListener()) for _ in range(2)]

    async def name(number: int, person: Person) -> QLiveError | None:
        try:
            await processes[number % 2].change(
                live_id, lambda room: room.name_deputy(HOST.user_id, person), person.user_id
            )
        except TooManyDeputies as refusal:
            return refusal
        return None

    named = await asyncio.gather(*map(name, range(4), (ANNA, BERT, CARL, DORA)))
    assert len([refusal for refusal in named if refusal]) == 1
    room = await load_room(stores, live_id)
    assert len(room.deputies) == MAX_DEPUTIES
    assert room.version == MAX_DEPUTIES, "one event each"


@pytest.mark.parametrize("blocker", ["host", "user"])
async def test_a_block_during_the_naming_ends_it_at_once(
    api: ApiFixture, server: ServerProcess, blocker: str
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    by, of = (host, bert) if blocker == "host" else (bert, host)
    stores = server.context.stores

    async def block() -> None:
        (await by.post("qlive_user/block/", user_id=of.id, blocked=True)).ok()

    run_after(server.context.services.moderation.user_safety, "check_pair", block)
    named = await host.post("qlive_room/deputy/", user_id=bert.id, on=1)
    assert named.refusal == (403, "blocked")
    assert await stores.rooms.kept_by(bert.id) == []
