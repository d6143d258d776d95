"""Tickets and visibility in the database."""

from dataclasses import replace
from datetime import UTC, datetime

from rooms.tickets import Ticket
from tests.support.room_builders import ANNA, BERT, CARL, HOST, NOW
from tests.support.storage import StoresFixture, profile_queries
from tests.support.stored_rooms import change_room, load_room, open_room, room_document

SOON = NOW + 60_000
APP = Ticket("t1", "app", HOST.user_id, SOON, 1, user_id=ANNA.user_id, request_id="r1")
CODE = Ticket("t2", "code", HOST.user_id, SOON + 1, 1, uses=2, picture="pictures/code/t2.png")


async def room_with_tickets(stores: StoresFixture) -> int:
    live_id = await open_room(stores)
    for ticket in (APP, CODE):
        await change_room(stores, live_id, lambda room, t=ticket: room.issue_ticket(t))
    return live_id


async def messages(stores: StoresFixture, kind: str) -> list[dict[str, str]]:
    rows = await stores.rows("outbox").find({"kind": kind}).to_list()
    return [row["payload"] for row in rows]


async def test_tickets_are_stored_and_found_by_their_ids(stores: StoresFixture) -> None:
    live_id = await room_with_tickets(stores)
    await change_room(stores, live_id, lambda room: room.enter(BERT, NOW, "t2"), BERT.user_id)
    async with profile_queries(stores.database, "rooms") as examined:
        found = await stores.rooms.of_ticket("t2")
    assert examined == [1]
    assert found
    assert found.tickets == {"t1": APP, "t2": replace(CODE, takers=(BERT.user_id,))}
    assert await stores.rooms.of_ticket("t3") is None
    await change_room(stores, live_id, lambda room: room.withdraw_ticket(HOST.user_id, "t1"))
    assert await stores.rooms.of_ticket("t1") is None
    await change_room(stores, live_id, lambda room: room.close("host"))
    assert await stores.rooms.of_ticket("t2") is None
    assert "ticket_ids" not in await room_document(stores, live_id)


async def test_a_room_is_due_when_its_first_ticket_expires(stores: StoresFixture) -> None:
    live_id = await room_with_tickets(stores)
    assert await stores.rooms.due(SOON - 1) == []
    assert await stores.rooms.due(SOON) == [live_id]
    await change_room(stores, live_id, lambda room: room.expire(SOON))
    assert await stores.rooms.due(SOON) == []
    assert await stores.rooms.due(SOON + 1) == [live_id]


async def test_the_picture_of_a_code_is_deleted_with_its_ticket(stores: StoresFixture) -> None:
    live_id = await room_with_tickets(stores)
    await change_room(stores, live_id, lambda room: room.enter(BERT, NOW, "t2"), BERT.user_id)
    [planned] = await stores.rows("outbox").find({"kind": "delete_object"}).to_list()
    assert (planned["state"], planned["payload"]) == ("later", {"key": CODE.picture})
    assert planned["due_at"] > datetime.now(UTC), "with the ticket's expiry"
    await change_room(stores, live_id, lambda room: room.close("host"))
    due = {"kind": "delete_object", "due_at": {"$lte": datetime.now(UTC)}}
    [message] = await stores.rows("outbox").find(due).to_list()
    assert (message["state"], message["payload"]) == ("later", {"key": CODE.picture})


async def test_the_group_before_a_change_of_visibility_is_destroyed(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    before = await load_room(stores, live_id)
    await change_room(
        stores,
        live_id,
        lambda room: room.set_visibility(HOST.user_id, "private", "g2", lambda _user: "s2", str),
    )
    assert await messages(stores, "destroy_group") == [{"group_id": before.group_id}]
    assert await messages(stores, "drop_stream") == [{"streams": ["s"]}]
    after = await load_room(stores, live_id)
    assert (after.visibility, after.group_id, after.owner.stream) == ("private", "g2", "s2")


async def test_a_room_of_an_older_release_has_no_revision(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    unset = dict.fromkeys(("revision", "tickets", "visibility", "deputies"), "")
    await stores.rows("rooms").update_one({"_id": live_id}, {"$unset": unset})
    room = await load_room(stores, live_id)
    assert (room.visibility, room.deputies) == ("public", ())
    await change_room(stores, live_id, lambda room: room.issue_ticket(APP))
    assert (await load_room(stores, live_id)).revision == 1


async def test_members_are_counted_by_live(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    await open_room(stores, host=ANNA)
    left = {"_id": "gone", "live_id": live_id, "epoch": "e0"}
    await stores.rows("members").insert_one(left)
    assert await stores.members.numbers(live_id) == {"e1": 3, "e0": 1}
