"""What webhooks send of the changes of a room.

The end of a live empties its seats without a `seat.left` each.
"""

from collections.abc import Sequence
from typing import Any

from rooms.events import LAST_EVENT_TYPE, NewEvent, NumberedEvent
from rooms.members import SEAT_OF_GENDER
from rooms.room import Room
from storage.stores import Stores
from storage.webhooks.payloads import OfRoom, gift_given
from storage.write_batch import WriteBatch


async def add_room_webhooks(
    stores: Stores, room: Room, events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Add what webhooks send of a change; the audience is read only if an endpoint wants it."""
    outgoing = room_webhooks(room, events)
    if await stores.webhooks.wants(outgoing):
        audience = (await stores.members.count(room.live_id, room.epoch)).audience
        shown = OfRoom(live_id=room.live_id, epoch=room.epoch, title=room.name, audience=audience)
        about_room = [NewEvent(event.type, {**shown, **event.data}) for event in outgoing]
        await stores.webhooks.add_to(batch, *about_room)


def room_webhooks(room: Room, events: Sequence[NumberedEvent]) -> list[NewEvent]:
    """Return the events for webhooks of a change of the room, without the fields of OfRoom.

    `live.ended` has no counts before it is sent: they are complete once the change is saved.
    """
    found = []
    if room.epoch != room.loaded.epoch:
        found.append(NewEvent("live.started", {"host_id": room.host_id}))
    for event in events:
        match event.type:
            case "micro_accept":
                found.append(NewEvent("seat.taken", _seat(event)))
            case "micro_leave":
                found.append(
                    NewEvent("seat.left", {**_seat(event), "reason": event.data["reason"]})
                )
            case "gift":
                sender, receiver = event.data["from"]["user_id"], event.data["to"]["user_id"]
                gift = event.data["gift"]["id"], event.data["num"], event.data["gold"]
                found.append(NewEvent("gift.given", gift_given(sender, receiver, *gift)))
            case _ if event.type == LAST_EVENT_TYPE:
                ended = {"host_id": room.host_id, "reason": event.data["reason"]}
                found.append(NewEvent("live.ended", ended))
    return found


def _seat(event: NumberedEvent) -> dict[str, Any]:
    return {"user_id": event.data["user_id"], "seat": SEAT_OF_GENDER[event.data["gender"]]}
