"""The commands that changes of rooms send to a real MongoDB."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from rooms.members import Person
from rooms.room import Room
from services.keeper import Keeper
from tests.support.commits import commit_in_flight
from tests.support.gift_fixture import give_in_any_room
from tests.support.keeper import RecordingListener
from tests.support.room_builders import ANNA, BERT, HOST, NOW
from tests.support.storage import StoresFixture, rose
from tests.support.stored_rooms import accept_user, open_room, save_room

ROOMS = 4
LATER = NOW + 10**12


async def busy_room(stores: StoresFixture, n: int) -> tuple[int, list[str]]:
    """A room whose second user is on mic; its host gives, its first user may apply."""
    user_ids = await stores.create_users((100, 0), (0, 0), (0, 0))
    host, anna, bert = (Person(user, f"user{n}", "", 1) for user in user_ids)
    live_id = await open_room(stores, anna, bert, host=host)
    await accept_user(stores, live_id, bert, f"stream{n}")
    return live_id, user_ids


async def change_busy_room(stores: StoresFixture, room: Room, user_ids: Sequence[str]) -> None:
    """An application, a gift, and the end of the guest's stream, in one write."""
    host, anna, bert = user_ids
    room.apply(Person(anna, "anna", "", 1), NOW, 600)
    room.leave_mic(host, bert)
    transfer = rose(host, bert, "r")
    context = await stores.ledger.load_context([transfer])
    give_in_any_room(room, context, transfer)
    await save_room(
        stores, room, add_writes=[lambda batch: stores.ledger.add_writes(batch, context.batch)]
    )


async def test_rooms_that_change_at_once_share_a_commit_with_a_command_of_each_kind(
    stores: StoresFixture, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = [await busy_room(stores, n) for n in range(ROOMS)]
    commands.clear()
    loads = [stores.rooms.load(live_id, user_ids) for live_id, user_ids in busy]
    rooms = [room for room in await asyncio.gather(*loads) if room]
    assert commands == ["aggregate"]
    async with commit_in_flight(stores.rooms._commits, monkeypatch):
        changing = [
            asyncio.ensure_future(change_busy_room(stores, room, user_ids))
            for room, (_, user_ids) in zip(rooms, busy, strict=True)
        ]
        while len(stores.rooms._commits._waiting) < ROOMS:
            await asyncio.sleep(0)
        commands.clear()
    await asyncio.gather(*changing)
    # One row first; then rooms, members, users, rankings, and new rows of outbox and ledger.
    assert Counter(commands) == {"insert": 1 + 2, "update": 4, "commitTransaction": 1 + 1}
    for live_id, _ in busy:
        log = await stores.rooms.log_since(live_id, "e1", 1)
        assert [event.type for event in log or ()] == ["micro_apply", "micro_leave", "gift"]


@pytest.mark.parametrize(
    ("rule", "person", "expected"),
    [
        (lambda room: None, ANNA, []),
        (lambda room: room.invite(ANNA.user_id, BERT, LATER, 60), ANNA, []),
        (lambda room: room.update_profile(Person(HOST.user_id, "new")), HOST, ["update"]),
        (lambda room: room.enter(BERT, LATER), BERT, ["insert"]),
        (lambda room: room.leave(ANNA.user_id), ANNA, ["delete"]),
        (
            lambda room: room.apply(ANNA, LATER, 600),
            ANNA,
            ["update", "update", "commitTransaction"],
        ),
    ],
    ids=["none", "refused", "profile", "enter", "leave", "apply"],
)
async def test_a_lone_change_takes_one_read_and_one_write_or_transaction(
    stores: StoresFixture,
    commands: list[str],
    rule: Callable[[Room], object],
    person: Person,
    expected: list[str],
) -> None:
    live_id = await open_room(stores, ANNA)
    keeper = Keeper(stores.rooms, RecordingListener())
    commands.clear()
    change = keeper.change(live_id, rule, person.user_id)
    await asyncio.gather(change, return_exceptions=True)
    assert commands == ["aggregate", *expected]
