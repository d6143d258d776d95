"""Which departures have a private live renewed, and by which messages."""

import pytest

from core.errors import WriteConflict
from rooms.members import Person
from rooms.room import Room
from tests.support.room_builders import ANNA, BERT, HOST
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, load_room, open_room, save_room


def make_private(room: Room, number: int = 1) -> None:
    urls = {"new_stream": lambda _user: f"s{number}", "play_url": str}
    room.set_visibility(HOST.user_id, "private", f"g{number}", **urls)


async def renewals(stores: StoresFixture) -> list[tuple[str, object]]:
    """(kind, what the leaver knew) of the messages that renew a live, in their order."""
    names = {"renew_streams": "streams", "renew_group": "groups"}
    found = stores.rows("outbox").find({"kind": {"$in": [*names]}}).sort("_id", 1)
    return [(row["kind"], row["payload"][names[row["kind"]]]) async for row in found]


async def open_private(stores: StoresFixture, *viewers: Person) -> int:
    live_id = await open_room(stores, *viewers)
    await change_room(stores, live_id, make_private)
    return live_id


async def test_who_leaves_in_the_batch_that_makes_a_live_private_knows_its_new_streams(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)

    def rule(room: Room) -> None:
        room.leave(BERT.user_id)
        make_private(room)

    await change_room(stores, live_id, rule, BERT.user_id)
    assert await renewals(stores) == [("renew_streams", ["s1"]), ("renew_group", ["g1"])]


async def test_a_departure_that_found_the_live_public_is_looked_at_again(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, ANNA, BERT)
    for person in (ANNA, BERT):
        room = await load_room(stores, live_id, person.user_id)
        if person == BERT:  # another process
            await change_room(stores, live_id, make_private)
        room.leave(person.user_id)
        await save_room(stores, room)
        assert await renewals(stores) == []
        await stores.renewals.flush()
        known = [("renew_streams", ["s1"]), ("renew_group", ["g1"])]
        assert await renewals(stores) == (known if person == BERT else [])
    await stores.renewals.flush()
    assert len(await renewals(stores)) == 2, "once"


async def test_who_leaves_while_a_private_live_is_renewed_knows_what_it_gets(
    stores: StoresFixture,
) -> None:
    live_id = await open_private(stores, ANNA, BERT)
    await change_room(stores, live_id, lambda room: room.leave(ANNA.user_id), ANNA.user_id)
    room = await load_room(stores, live_id, BERT.user_id)
    await change_room(
        stores, live_id, lambda room: room.renew_streams(["s1"], lambda _user: "s2", str)
    )
    room.leave(BERT.user_id)
    with pytest.raises(WriteConflict):
        await save_room(stores, room)
    await change_room(stores, live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
    assert (await renewals(stores))[2:] == [("renew_streams", ["s2"]), ("renew_group", ["g1"])]
