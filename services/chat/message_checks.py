"""Answers IM before it sends a user's message, from memory.

IM waits for 2 s, and sends the message if there is no answer. So a check never waits longer than
WAIT_SECONDS for each of its two reads, and in doubt the message is allowed.
"""

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Generic, Literal, TypeVar, get_args

from config.sections import ImSettings
from core.clock import now_ms
from core.limits import TokenBuckets
from realtime.bus import Bus, UserEvicted
from realtime.close_codes import CloseCode
from rooms.room import Room
from services.chat.im_messages import KINDS
from storage.chat.groups import GROUP_PREFIX
from storage.chat.lines import ChatLine
from storage.errors import storage_error
from storage.stores import Stores
from tencent.callbacks import ProposedMessage

T = TypeVar("T")
Refusal = Literal["banned", "muted", "muted_all", "blocked", "imitation", "words", "rate"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)
GROUP_CODE, USER_CODE = 10100, 120001
"""Codes that IM passes on to the sender: 10100 to 10200 in a group, 120001 to 130000 otherwise."""
WAIT_SECONDS = 0.09
MAX_AGE_SECONDS = 1.0
"""Age up to which an answer of MongoDB is believed."""
MAX_ANSWERS = 4096
MAX_BANS = 256
"""Latest bans that are remembered: IM itself keeps a banned user out within seconds."""
GIFTS = ("gift", "礼物")


def refusal_code(refusal: Refusal, *, in_group: bool) -> int:
    return (GROUP_CODE if in_group else USER_CODE) + REFUSALS.index(refusal)


class RecentReads(Generic[T]):
    """Answers of MongoDB, read at most once a second; the last ones while it does not answer."""

    def __init__(self, read: Callable[..., Awaitable[T]]) -> None:
        self._read = read
        self._answers: OrderedDict[tuple[str, ...], tuple[float, T]] = OrderedDict()

    async def get(self, *key: str) -> T | None:
        """The answer to `read(*key)`; None if there has never been one."""
        now = time.monotonic()
        read_at, answer = self._answers.get(key, (-inf, None))
        if now - read_at <= MAX_AGE_SECONDS:
            return answer
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                answer = await self._read(*key)
        except Exception as error:
            if storage_error(error) is None and not isinstance(error, TimeoutError):
                raise
            return answer
        self._answers[key] = now, answer
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return answer


class MessageCheckService:
    """Decides whether IM sends a message; keeps the lines that it allows in a room."""

    def __init__(
        self, stores: Stores, bus: Bus, im: ImSettings, find_word: Callable[[str], str]
    ) -> None:
        """`find_word` returns a blocked word of a text."""
        self._users = RecentReads(stores.users.find)
        self._rooms = RecentReads(stores.rooms.of_group)
        self._pairs = RecentReads(stores.user_blocks.are_apart)
        self._lines = stores.chat_lines
        self._buckets = TokenBuckets(im.user_messages)
        self._admin = im.admin
        self._find_word = find_word
        self._banned: deque[str] = deque(maxlen=MAX_BANS)
        bus.subscribe(self._on_user_evicted, UserEvicted)

    async def check(self, message: ProposedMessage) -> Refusal | None:
        """Why the message is refused, or None."""
        is_ours = message.receiver or message.group_id.startswith(GROUP_PREFIX)
        if not is_ours or message.sender == self._admin:
            return None
        if await self._is_banned(message.sender):
            return "banned"
        if message.receiver:
            if await self._pairs.get(message.sender, message.receiver):
                return "blocked"
            return self._refusal_of_text(message)
        room = await self._rooms.get(message.group_id)
        refusal = (room and _refusal_in(room, message.sender)) or (
            "imitation" if imitates_us(message) else self._refusal_of_text(message)
        )
        if room and refusal is None:
            self._lines.add(room.live_id, ChatLine(message.sender, message.text, now_ms()))
        return refusal

    async def _is_banned(self, user_id: str) -> bool:
        """Reads only users who were banned lately, and may have been let in again."""
        user = await self._users.get(user_id) if user_id in self._banned else None
        return user is not None and user.banned

    def _on_user_evicted(self, message: UserEvicted) -> None:
        if message.code == CloseCode.PUT_OUT and message.live_id is None:
            self._banned.append(message.user_id)

    def _refusal_of_text(self, message: ProposedMessage) -> Refusal | None:
        if self._find_word(" ".join((*message.texts, *message.customs))):
            return "words"
        return "rate" if self._buckets.take(message.sender, time.monotonic()) else None


def _refusal_in(room: Room, user_id: str) -> Refusal | None:
    now = now_ms()
    if room.is_banned(user_id, now):
        return "banned"
    if room.muted.get(user_id, 0) > now:
        return "muted"
    return "muted_all" if room.mute_all and user_id != room.host_id else None


def imitates_us(message: ProposedMessage) -> bool:
    """Whether a client could take the message for one of ours, or for a gift.

    Ours are texts (services/chat/im_messages.py), but clients may show custom elements alike.
    """
    return any(map(_imitates, message.texts)) or any(
        _imitates(custom, GIFTS) for custom in message.customs
    )


def _imitates(text: str, words: Sequence[str] = ()) -> bool:
    """Whether a text is of a kind of ours, or has one of the words, escaped or not."""
    try:
        content = json.loads(text, parse_int=float)  # of any number of digits, as in a client
        plain = str(content).lower()
    except ValueError:
        content, plain = None, text.lower()
    except RecursionError:
        return True  # a client may read what is nested so deeply
    is_ours = isinstance(content, dict) and content.get("type") in KINDS
    return is_ours or any(word in plain for word in words)
