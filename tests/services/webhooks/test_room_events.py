"""What webhooks send of the changes of a room."""

from typing import Any, get_type_hints

from rooms.events import NewEvent
from rooms.room import Room
from services.webhooks.room_events import add_room_webhooks, room_webhooks
from storage.rooms.summaries import COUNTS
from storage.webhooks.payloads import WEBHOOK_PAYLOADS, LiveEndedPayload, OfRoom
from storage.write_batch import GroupCommit, WriteBatch
from tests.support.room_builders import (
    BERT,
    EPOCH,
    HOST,
    NOW,
    live_room,
    new_room,
    room_with_guests,
)
from tests.support.storage import StoresFixture


def sent(room: Room) -> list[tuple[str, dict[str, Any]]]:
    """(type, data) of the webhooks; each has the fields of its payload, without those of a room."""
    hooks = room_webhooks(room, room.numbered(NOW))
    for hook in hooks:
        expected = {*get_type_hints(WEBHOOK_PAYLOADS[hook.type])} - {*get_type_hints(OfRoom)}
        assert {*hook.data} == expected - {*COUNTS, "dates"}
    return [(hook.type, dict(hook.data)) for hook in hooks]


def test_the_beginning_and_the_end_of_a_live_are_sent() -> None:
    room = new_room()
    room.open(HOST, EPOCH, "stream-host", NOW)
    assert sent(room) == [("live.started", {"host_id": HOST.user_id})]
    room = room_with_guests(BERT)
    room.end(HOST.user_id)
    assert sent(room) == [("live.ended", {"host_id": HOST.user_id, "reason": "host"})]
    assert {*COUNTS} < get_type_hints(LiveEndedPayload).keys()


def test_seats_and_gifts_are_sent_in_the_order_of_their_events() -> None:
    room = live_room(BERT)
    room.accept(BERT, "open", "stream-bert", "")
    room.add_gift(
        {
            "from": BERT.public_profile(),
            "to": HOST.public_profile(),
            "gift": {"id": 7, "name": "rose", "image": "i", "effect": "e"},
            "num": 2,
            "gold": 20,
            "request_id": "r",
        },
        5,
    )
    room.leave_mic(HOST, BERT.user_id)
    seat = {"user_id": BERT.user_id, "seat": "male"}
    gift = {"sender_id": BERT.user_id, "receiver_id": HOST.user_id}
    assert sent(room) == [
        ("seat.taken", seat),
        ("gift.given", {**gift, "gift_id": 7, "num": 2, "gold": 20}),
        ("seat.left", {**seat, "reason": "host"}),
    ]


def test_other_changes_of_a_room_are_not_sent() -> None:
    room = live_room(BERT)
    room.apply(BERT, NOW)
    room.set_mute_all(HOST.user_id, on=True)
    assert room_webhooks(room, room.numbered(NOW)) == list[NewEvent]()


async def test_the_audience_is_read_only_if_an_endpoint_wants_one_of_the_events(
    stores: StoresFixture, commands: list[str]
) -> None:
    room, batch = new_room(), WriteBatch()
    room.open(HOST, EPOCH, "stream-host", NOW)
    events = room.numbered(NOW)
    await stores.webhooks.create("https://a.invalid", ["live.ended"], enabled=True)
    assert await stores.webhooks.enabled()
    commands.clear()
    await add_room_webhooks(stores, room, events, batch)
    assert (commands, len(batch)) == ([], 0)
    await stores.webhooks.create("https://b.invalid", ["live.started"], enabled=True)
    stores.webhooks.forget()
    await add_room_webhooks(stores, room, events, batch)
    await GroupCommit(stores.database).commit(batch)
    [row] = await stores.rows("webhook_events").find().to_list()
    about = {"live_id": room.live_id, "epoch": EPOCH, "title": room.name, "audience": 1}
    assert (row["type"], row["data"]) == ("live.started", {**about, "host_id": HOST.user_id})
