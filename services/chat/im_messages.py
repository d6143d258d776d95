"""Messages to clients on Tencent IM, in the format of the earlier backend."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rooms.events import LAST_EVENT_TYPE, NumberedEvent

KINDS = ("reset", "over", "gift", "num", "kickout", "invite")
"""Types of our messages."""
Priority = Literal["High", "Normal"]
GROUP = ""
"""Recipient of a message to the room's whole group."""

# How long IM keeps a message for an offline recipient.
COUNTS_TTL_SECONDS = 60  # the next counts replace it
KICKOUT_TTL_SECONDS = 3600  # by then the client has requested its state
KICKOUT_MAX_AGE_MS = 60_000  # later, the user may be on mic again

COUNT_EVENTS = frozenset({"micro_apply", "micro_refuse", "micro_accept", "micro_leave"})
"""Events that may change the user counts of a room."""
GROUP_EVENTS = frozenset({"micro_accept", "micro_leave", "gift", LAST_EVENT_TYPE})


@dataclass(frozen=True, slots=True)
class ImMessage:
    """One text message; IM keeps it for `seconds` for an offline recipient (not a group)."""

    kind: str
    to: str
    text: str
    random: int
    seconds: int = 0

    @property
    def priority(self) -> Priority:
        """IM drops messages below High first when a group exceeds its rate limit."""
        return "Normal" if self.kind == "gift" else "High"


def messages_for(event: NumberedEvent, group_id: str, now: int) -> list[ImMessage]:
    """Return the messages for one event, in order; none for a late invitation. `now` in ms."""

    def message(kind: str, content: object, to: str = GROUP, seconds: int = 0) -> ImMessage:
        random = message_random(event.epoch, event.seq, kind)
        return ImMessage(kind, to, _text(kind, content), random, seconds)

    data = event.data
    match event.type:
        case "micro_accept":
            return [message("reset", seat_content("on", data))]
        case "micro_leave":
            off = message("reset", seat_content("off", data))
            was_removed = data.get("reason") in ("host", "banned", "moderation")
            if not was_removed or now - event.ts >= KICKOUT_MAX_AGE_MS:
                return [off]
            group = {"group_id": group_id}
            return [off, message("kickout", group, data["user_id"], KICKOUT_TTL_SECONDS)]
        case "micro_invite" if (seconds_left := (int(data["expires_at"]) - now) // 1000) > 0:
            return [message("invite", {"group_id": group_id}, data["user_id"], seconds_left)]
        case "gift":
            gift = data["gift"]
            content = {
                "gift_id": gift["id"],
                "gift_title": gift["name"],
                "gift_num": data["num"],
                "gift_image": gift["image"],
            }
            return [message("gift", content)]
        case "live_end":
            return [live_end_message(event.epoch, event.seq)]
    return []


def drop_excess_gifts(events: Sequence[NumberedEvent], limit: int) -> list[NumberedEvent]:
    """Drop the oldest gifts if the group would receive more than `limit` messages."""
    group_events = [event for event in events if event.type in GROUP_EVENTS]
    gifts = [event.seq for event in group_events if event.type == "gift"]
    dropped = set(gifts[: max(0, len(group_events) - limit)])
    return [event for event in events if event.seq not in dropped]


def on_mic_message(epoch: str, seq: int, data: Mapping[str, Any]) -> ImMessage:
    """Return the message of a guest now on mic, for a group that missed the events before."""
    random = message_random(epoch, seq, f"on:{data['user_id']}")
    return ImMessage("reset", GROUP, _text("reset", seat_content("on", data)), random)


def live_end_message(epoch: str, seq: int) -> ImMessage:
    return ImMessage("over", GROUP, _text("over", ""), message_random(epoch, seq, "over"))


def counts_message(
    host_id: str, group_id: str, num_list: Sequence[int], epoch: str, n: int
) -> ImMessage:
    """Return the user counts for the host; `n` distinguishes equal counts of other times."""
    text = _text("num", {"group_id": group_id, "num_list": list(num_list)})
    return ImMessage("num", host_id, text, message_random(epoch, n, "num"), COUNTS_TTL_SECONDS)


def kickout_message(user_id: str, group_id: str, n: int) -> ImMessage:
    """Return the message for a user removed from the room; `n` distinguishes removals."""
    random = message_random(group_id, n, f"kickout:{user_id}")
    text = _text("kickout", {"group_id": group_id})
    return ImMessage("kickout", user_id, text, random, KICKOUT_TTL_SECONDS)


def seat_content(content_type: Literal["on", "off"], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content for a guest on or off mic; missing fields of `data` become empty."""
    on = content_type == "on"
    return {
        "content_type": content_type,
        "user_id": data["user_id"],
        "play_url": data.get("play_url", "") if on else "",
        "nickname": data.get("nickname", ""),
        "area": data.get("area", ""),
        "age": data.get("age", 0),
        "face_url": data.get("face_url", ""),
        "gender": data.get("gender", 0),
    }


def message_random(epoch: str, n: int, kind: str) -> int:
    """Return a uint32 that is the same whenever the same message is repeated.

    IM drops a group message whose Random and content it received within the last 5 minutes.
    """
    digest = hashlib.sha256(f"{epoch}:{n}:{kind}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _text(kind: str, content: object) -> str:
    return json.dumps({"type": kind, "content": content}, ensure_ascii=False)
