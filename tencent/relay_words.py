"""What clients that listen on Tencent IM are told of a room, in the words that they know."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rooms.events import LAST, Numbered

Priority = Literal["High", "Normal"]
GROUP = ""
"""The recipient of a word that everybody in the room's group gets."""

# How long IM keeps a word for somebody whose phone is not connected, in seconds.
NUM_SECONDS = 60  # the next one says it better
KICKOUT_SECONDS = 3600  # by then the phone has asked us where it is
KICKOUT_LATE_MS = 60_000  # later than that they may be on mic again

COUNTED = frozenset({"micro_apply", "micro_refuse", "micro_accept", "micro_leave"})
"""Events after which the numbers of a room may be others."""
HEARD_BY_GROUP = frozenset({"micro_accept", "micro_leave", "gift", LAST})


@dataclass(frozen=True, slots=True)
class Word:
    """One text message; `random` is the same whenever the same word is said again.

    `seconds`: how long it is kept for a recipient who is not there (a group keeps nothing).
    """

    kind: str
    to: str
    text: str
    random: int
    seconds: int = 0

    @property
    def priority(self) -> Priority:
        """When a group is too loud, IM leaves out what is not High first."""
        return "Normal" if self.kind == "gift" else "High"


def words(event: Numbered, group_id: str, now: int) -> list[Word]:
    """What is said of an event, in this order; `now` in ms: late invitations are not told."""
    match event.type:
        case "micro_accept":
            return [_group_word(event, "reset", seat("on", event.data))]
        case "micro_leave":
            off = _group_word(event, "reset", seat("off", event.data))
            put_off = event.data.get("reason") in ("host", "banned")
            put_off = put_off and now - event.ts < KICKOUT_LATE_MS
            return [off, _kickout(event, group_id)] if put_off else [off]
        case "micro_invite":
            return _invite(event, group_id, now)
        case "gift":
            return [_group_word(event, "gift", gift(event.data))]
        case "live_end":
            return [over(event.epoch, event.seq)]
    return []


def without_surplus(events: Sequence[Numbered], most: int) -> list[Numbered]:
    """The events, short of their oldest gifts when the group would hear more than `most`."""
    loud = [event for event in events if event.type in HEARD_BY_GROUP]
    gifts = [event.seq for event in loud if event.type == "gift"]
    left_out = set(gifts[: max(0, len(loud) - most)])
    return [event for event in events if event.seq not in left_out]


def present(epoch: str, seq: int, on_mic: Sequence[Mapping[str, Any]]) -> list[Word]:
    """Who is on mic now, for a group that has missed how they came there."""
    return [
        Word(
            "reset",
            GROUP,
            _text("reset", seat("on", data)),
            chosen(epoch, seq, f"on:{data['user_id']}"),
        )
        for data in on_mic
    ]


def over(epoch: str, seq: int) -> Word:
    return Word("over", GROUP, _text("over", ""), chosen(epoch, seq, "over"))


def num(host_id: str, group_id: str, num_list: Sequence[int], epoch: str, n: int) -> Word:
    """The numbers of a room for its host; `n` tells them from the same numbers said before."""
    content = {"group_id": group_id, "num_list": list(num_list)}
    return Word("num", host_id, _text("num", content), chosen(epoch, n, "num"), NUM_SECONDS)


def kickout(user_id: str, group_id: str, n: int) -> Word:
    """For somebody who was put out of the room; `n` tells one time from another."""
    random = chosen(group_id, n, f"kickout:{user_id}")
    text = _text("kickout", {"group_id": group_id})
    return Word("kickout", user_id, text, random, KICKOUT_SECONDS)


def seat(content_type: Literal["on", "off"], data: Mapping[str, Any]) -> dict[str, Any]:
    """Somebody on mic, or no longer; `data` as in micro_accept, what is missing is empty."""
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


def gift(data: Mapping[str, Any]) -> dict[str, Any]:
    shown = data["gift"]
    return {
        "gift_id": shown["id"],
        "gift_title": shown["name"],
        "gift_num": data["num"],
        "gift_image": shown["image"],
    }


def chosen(epoch: str, n: int, kind: str) -> int:
    """A uint32 that is the same for the same word: IM drops a group's message whose Random and
    content it had within the last 5 minutes."""
    digest = hashlib.sha256(f"{epoch}:{n}:{kind}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _invite(event: Numbered, group_id: str, now: int) -> list[Word]:
    left = (int(event.data["expires_at"]) - now) // 1000
    if left <= 0:
        return []
    return [_private_word(event, "invite", group_id, left)]


def _kickout(event: Numbered, group_id: str) -> Word:
    return _private_word(event, "kickout", group_id, KICKOUT_SECONDS)


def _group_word(event: Numbered, kind: str, content: Mapping[str, Any]) -> Word:
    random = chosen(event.epoch, event.seq, kind)
    return Word(kind, GROUP, _text(kind, content), random)


def _private_word(event: Numbered, kind: str, group_id: str, seconds: int) -> Word:
    random = chosen(event.epoch, event.seq, kind)
    return Word(kind, event.data["user_id"], _text(kind, {"group_id": group_id}), random, seconds)


def _text(kind: str, content: object) -> str:
    return json.dumps({"type": kind, "content": content}, ensure_ascii=False)
