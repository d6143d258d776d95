"""Answers IM before it sends a user's message, from memory.

IM waits for 2 s, and sends the message if there is no answer. So a check never waits longer than
WAIT_SECONDS, and in doubt the message is allowed.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Literal, get_args

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

Refusal = Literal["banned", "muted", "muted_all", "blocked", "imitation", "words", "rate"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)
GROUP_CODE, USER_CODE = 10100, 120001
"""Codes that IM passes on to the sender: 10100 to 10200 in a group, 120001 to 130000 otherwise."""
WAIT_SECONDS = 0.15
FRESH_SECONDS, MAX_AGE_SECONDS = 1.0, 2.0
"""Age at which a room is read again in the background, and up to which it is believed."""
MAX_ROOMS = 10_000
MAX_BANNED = 10_000
BAN_SECONDS = 120.0
"""Time for which a ban is remembered: by then the outbox has ended the user's UserSigs."""
CHANGES = {"mute", "mute_all", LAST_EVENT_TYPE}
"""Events after which a room is read again at once."""


def refusal_code(refusal: Refusal, *, in_group: bool) -> int:
    """The code of IM's client, which the SDK shows in words."""
    return (GROUP_CODE if in_group else USER_CODE) + REFUSALS.index(refusal)


class ChatRoomCache:
    """Who may write in a group, at most MAX_AGE_SECONDS old; the keeper publishes changes to it."""

    def __init__(self, groups: RoomGroupStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._groups = groups
        self._clock = clock
        self._rooms: OrderedDict[str, tuple[ChatRoom | None, float]] = OrderedDict()
        self._reads: dict[str, asyncio.Task[None]] = {}
        self._group_ids: dict[int, str] = {}

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        if any(event.type in CHANGES for event in events):
            self.forget(live_id)

    def mark_audience_changed(self, live_id: int) -> None:
        """Of no effect."""

    def forget(self, live_id: int) -> None:
        """Read the room before the next answer; a read in progress may be too old."""
        if group_id := self._group_ids.pop(live_id, None):
            self._rooms.pop(group_id, None)
            self._reads.pop(group_id, None)

    async def get(self, group_id: str) -> ChatRoom | None:
        """The room of a group, None for a group that is not ours; TimeoutError."""
        read_at = self._rooms.get(group_id, (None, -inf))[1]
        age = self._clock() - read_at
        if age > FRESH_SECONDS and group_id not in self._reads:
            task = asyncio.get_running_loop().create_task(self._read(group_id))
            self._reads[group_id] = task
        if age > MAX_AGE_SECONDS:
            await asyncio.wait({self._reads[group_id]}, timeout=WAIT_SECONDS)
            if self._rooms.get(group_id, (None, -inf))[1] == read_at:
                raise TimeoutError
        return self._rooms[group_id][0]

    async def _read(self, group_id: str) -> None:
        task, started = asyncio.current_task(), self._clock()
        try:
            room = await self._groups.chat_room(group_id)
        except Exception as error:
            if storage_error(error) is None:
                raise
        else:
            if self._reads.get(group_id) is task:
                self._keep(group_id, room, started)
        finally:
            if self._reads.get(group_id) is task:
                del self._reads[group_id]

    def _keep(self, group_id: str, room: ChatRoom | None, read_at: float) -> None:
        self._rooms[group_id] = room, read_at
        self._rooms.move_to_end(group_id)
        if room:
            self._group_ids[room.live_id] = group_id
        if len(self._rooms) > MAX_ROOMS:
            _, (oldest, _) = self._rooms.popitem(last=False)
            if oldest:
                self._group_ids.pop(oldest.live_id, None)


class MessageCheckService:
    """Decides whether IM sends a message; what it allows in a room goes to the room's chat log."""

    def __init__(
        self,
        rooms: ChatRoomCache,
        chat_log: ChatLog,
        bus: Bus,
        rate: Rate,
        admin: str,
        find_word: Callable[[str], str | None],
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
        self._banned: OrderedDict[str, float] = OrderedDict()
        bus.subscribe(self._on_user_evicted, UserEvicted)

    async def check(self, message: ProposedMessage) -> Refusal | None:
        """Why the message is refused, or None; takes WAIT_SECONDS at most."""
        if message.sender == self._admin:
            return None
        room: ChatRoom | None = None
        if message.group_id:
            try:
                room = await self._rooms.get(message.group_id)
            except TimeoutError:
                room = ChatRoom(0, "")
            if room is None:
                return None  # another application's group
        refusal = await self._refusal(message, room)
        if room and room.live_id and refusal is None:
            line = ChatLine(message.sender, message.text or f"[{message.kinds}]", now_ms())
            self._chat_log.add(room.live_id, line)
        return refusal

    async def _refusal(self, message: ProposedMessage, room: ChatRoom | None) -> Refusal | None:
        now, sender = time.monotonic(), message.sender
        if self._banned.get(sender, -inf) > now:
            return "banned"
        if room and (refusal := room_refusal(room, sender, now_ms())):
            return refusal
        if message.receiver and await self._pair_is_blocked(sender, message.receiver):
            return "blocked"
        if room and imitates_us(message):
            return "imitation"
        if self._find_word(message.text):
            return "words"
        return "rate" if self._buckets.take(sender, now) else None

    async def _pair_is_blocked(self, sender: str, receiver: str) -> bool:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._is_blocked(sender, receiver)
        except Exception as error:
            if storage_error(error) is None and not isinstance(error, TimeoutError):
                raise
            return False

    def _on_user_evicted(self, message: UserEvicted) -> None:
        if message.code != CloseCode.PUT_OUT:
            return
        if message.live_id is not None:
            self._rooms.forget(message.live_id)
            return
        self._banned[message.user_id] = time.monotonic() + BAN_SECONDS
        self._banned.move_to_end(message.user_id)
        if len(self._banned) > MAX_BANNED:
            self._banned.popitem(last=False)


def room_refusal(room: ChatRoom, sender: str, now: int) -> Refusal | None:
    """Why a user may not write in a room; `now` in ms."""
    if room.blocked.get(sender, 0) > now:
        return "banned"
    if room.muted.get(sender, 0) > now:
        return "muted"
    return "muted_all" if room.mute_all and sender != room.host_id else None


def imitates_us(message: ProposedMessage) -> bool:
    """Whether a client could take the message for one of ours, or for a gift.

    Ours are texts (services/chat/im_messages.py), but clients may show custom elements alike.
    """
    if any("gift" in custom.lower() or "礼物" in custom for custom in message.customs):
        return True
    return any(_kind_of(text) in KINDS for text in (*message.texts, *message.customs))


def _kind_of(text: str) -> object:
    """The type of a message in our format, None for any other text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = content.get("type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None
