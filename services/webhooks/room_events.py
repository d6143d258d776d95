"""What webhooks send of the changes of a room.

The end of a live empties its seats without a `seat.left` each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rooms.events import LAST_EVENT_TYPE, NewEvent, NumberedEvent
from rooms.members import SEAT_OF_GENDER
from rooms.room import Room
from storage.stores import Stores
from storage.webhooks.payloads import GiftGivenPayload, OfRoom
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
        data = event.data
        match event.type:
            case "micro_accept":
                found.append(NewEvent("seat.taken", _seat(data)))
            case "micro_leave":
                found.append(NewEvent("seat.left", {**_seat(data), "reason": data["reason"]}))
            case "gift":
                gift = GiftGivenPayload(
                    sender_id=data["from"]["user_id"],
                    receiver_id=data["to"]["user_id"],
                    gift_id=data["gift"]["id"],
                    num=data["num"],
                    gold=data["gold"],
                )
                found.append(NewEvent("gift.given", gift))
            case _ if event.type == LAST_EVENT_TYPE:
                ended = {"host_id": room.host_id, "reason": data["reason"]}
                found.append(NewEvent("live.ended", ended))
    return found


def _seat(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"user_id": data["user_id"], "seat": SEAT_OF_GENDER[data["gender"]]}
