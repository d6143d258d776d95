"""Answers IM before it sends a user's message, from memory.

IM waits for 2 s, and sends the message if there is no answer. So a check never waits longer than
WAIT_SECONDS for each of its reads, and in doubt the message is allowed.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Literal, TypeVar, get_args

from core.clock import now_ms
from core.limits import Rate, TokenBuckets
from realtime.bus import Bus, UserEvicted
from realtime.close_codes import CloseCode
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from services.chat.chat_log import ChatLog
from services.chat.im_messages import KINDS
from storage.chat.groups import ChatRoom, RoomGroupStore
from storage.chat.lines import ChatLine
from storage.errors import storage_error
from tencent.callbacks import ProposedMessage

T = TypeVar("T")
Refusal = Literal["banned", "muted", "muted_all", "blocked", "imitation", "words", "rate"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)
GROUP_CODE, USER_CODE = 10100, 120001
"""Codes that IM passes on to the sender: 10100 to 10200 in a group, 120001 to 130000 otherwise."""
WAIT_SECONDS = 0.15
MAX_AGE_SECONDS = 1.0
"""Age up to which what is known of a room is believed."""
MAX_ROOMS = 10_000
BAN_SECONDS = 120.0
"""Time for which a ban is remembered: by then the outbox has ended the user's UserSigs."""
CHANGES = {"mute", "mute_all", LAST_EVENT_TYPE}
"""Events after which a room is read again at once."""
NOT_READ = ChatRoom(0, "")


def refusal_code(refusal: Refusal, *, in_group: bool) -> int:
    return (GROUP_CODE if in_group else USER_CODE) + REFUSALS.index(refusal)


class ChatRoomCache:
    """Who may write in a group, read once a second; the keeper publishes changes to it."""

    def __init__(self, groups: RoomGroupStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._groups = groups
        self._clock = clock
        self._rooms: OrderedDict[str, tuple[float, ChatRoom | None]] = OrderedDict()

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        if any(event.type in CHANGES for event in events):
            self.forget(live_id)

    def mark_audience_changed(self, live_id: int) -> None:
        """Of no effect."""

    def forget(self, live_id: int) -> None:
        rows = self._rooms.items()
        for group_id in [id_ for id_, (_, room) in rows if room and room.live_id == live_id]:
            del self._rooms[group_id]

    async def get(self, group_id: str) -> ChatRoom | None:
        """The room of a group, None for a group that is not ours."""
        now = self._clock()
        read_at, room = self._rooms.get(group_id, (-inf, None))
        if now - read_at > MAX_AGE_SECONDS:
            room = await self._groups.chat_room(group_id)
            self._rooms[group_id] = now, room
            self._rooms.move_to_end(group_id)
            if len(self._rooms) > MAX_ROOMS:
                self._rooms.popitem(last=False)
        return room


class MessageCheckService:
    """Decides whether IM sends a message; what it allows in a room goes to the room's chat log."""

    def __init__(
        self,
        rooms: ChatRoomCache,
        chat_log: ChatLog,
        bus: Bus,
        rate: Rate,
        admin: str,
        find_word: Callable[[str], str],
        is_blocked: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        """`admin` is our own account; `find_word` returns a blocked word of a text; `is_blocked`:
        whether one of two users has blocked the other."""
        self._rooms = rooms
        self._chat_log = chat_log
        self._buckets = TokenBuckets(rate)
        self._admin = admin
        self._find_word = find_word
        self._is_blocked = is_blocked
        self._banned_until: dict[str, float] = {}
        bus.subscribe(self._on_user_evicted, UserEvicted)

    async def check(self, message: ProposedMessage) -> Refusal | None:
        """Why the message is refused, or None."""
        if message.sender == self._admin:
            return None
        if message.receiver:
            return await self._refusal_to_user(message)
        room = await _in_time(self._rooms.get(message.group_id), NOT_READ)
        if room is None:
            return None  # another application's group
        refusal = self._refusal_in_room(message, room)
        if room is not NOT_READ and refusal is None:
            self._chat_log.add(room.live_id, ChatLine(message.sender, message.text, now_ms()))
        return refusal

    def _refusal_in_room(self, message: ProposedMessage, room: ChatRoom) -> Refusal | None:
        sender, now = message.sender, now_ms()
        if self._is_banned(sender) or room.blocked.get(sender, 0) > now:
            return "banned"
        if room.muted.get(sender, 0) > now:
            return "muted"
        if room.mute_all and sender != room.host_id:
            return "muted_all"
        return "imitation" if imitates_us(message) else self._refusal_of_text(message)

    async def _refusal_to_user(self, message: ProposedMessage) -> Refusal | None:
        if self._is_banned(message.sender):
            return "banned"
        if await _in_time(self._is_blocked(message.sender, message.receiver), otherwise=False):
            return "blocked"
        return self._refusal_of_text(message)

    def _refusal_of_text(self, message: ProposedMessage) -> Refusal | None:
        if self._find_word(message.text):
            return "words"
        return "rate" if self._buckets.take(message.sender, time.monotonic()) else None

    def _is_banned(self, user_id: str) -> bool:
        return self._banned_until.get(user_id, -inf) > time.monotonic()

    def _on_user_evicted(self, message: UserEvicted) -> None:
        if message.code != CloseCode.PUT_OUT:
            return
        if message.live_id is not None:
            self._rooms.forget(message.live_id)
            return
        now, known = time.monotonic(), self._banned_until.items()
        lasting = {user_id: until for user_id, until in known if until > now}
        self._banned_until = {**lasting, message.user_id: now + BAN_SECONDS}


def imitates_us(message: ProposedMessage) -> bool:
    """Whether a client could take the message for one of ours, or for a gift.

    Ours are texts (services/chat/im_messages.py), but clients may show custom elements alike.
    """
    if any("gift" in custom.lower() or "礼物" in custom for custom in message.customs):
        return True
    return any(map(_is_of_our_kind, (*message.texts, *message.customs)))


def _is_of_our_kind(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        kind = json.loads(text).get("type")
    except (ValueError, RecursionError):
        return False
    return isinstance(kind, str) and kind in KINDS


async def _in_time(reading: Awaitable[T], otherwise: T) -> T:
    """The result of a read, or `otherwise` if MongoDB has not answered in time."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            return await reading
    except Exception as error:
        if storage_error(error) is None and not isinstance(error, TimeoutError):
            raise
        return otherwise
