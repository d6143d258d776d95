"""Events for webhooks of a change of a room, for `RoomStore`; services/webhooks/ has them, too."""

from collections.abc import Sequence
from typing import Any

from rooms.events import LAST_EVENT_TYPE, NewEvent, NumberedEvent
from rooms.members import SEAT_OF_GENDER
from rooms.room import Room


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
                gift = {"gift_id": event.data["gift"]["id"], "num": event.data["num"]}
                gift |= {"sender_id": sender, "receiver_id": receiver, "gold": event.data["gold"]}
                found.append(NewEvent("gift.given", gift))
            case _ if event.type == LAST_EVENT_TYPE:
                ended = {"host_id": room.host_id, "reason": event.data["reason"]}
                found.append(NewEvent("live.ended", ended))
    return found


def _seat(event: NumberedEvent) -> dict[str, Any]:
    return {"user_id": event.data["user_id"], "seat": SEAT_OF_GENDER[event.data["gender"]]}
