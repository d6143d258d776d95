"""Answers IM before it sends a user's message, from memory.

IM waits for 2 s, and sends the message if there is no answer. So a check reads at most twice in
turn, never waits longer than WAIT_SECONDS for each, and in doubt the message is allowed.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar, get_args

from core.cache import Cache
from core.clock import now_ms
from core.limits import Rate, TokenBuckets
from rooms.members import Member
from rooms.room import Room
from services.chat.im_messages import KINDS
from storage.chat import GROUP_PREFIX, ChatLine
from storage.errors import storage_error
from storage.stores import Stores
from tencent.callbacks import ProposedMessage

T = TypeVar("T")
Refusal = Literal[
    "banned", "muted", "muted_all", "blocked", "imitation", "words", "rate", "not_in_room"
]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)
GROUP_CODE, USER_CODE = 10100, 120001
"""Codes that IM passes on to the sender: 10100 to 10200 in a group, 120001 to 130000 otherwise."""
WAIT_SECONDS = 0.09
MAX_AGE_SECONDS = 1.0
"""Age up to which an answer of MongoDB is believed."""
MAX_ANSWERS = 4096
MESSAGE_RATE = Rate(1, 8)
"""Messages of a user to all groups and receivers together: as fast as one types short lines.
`limits.factor` multiplies the first."""
GIFTS = ("gift", "礼物")


def refusal_code(refusal: Refusal, *, in_group: bool) -> int:
    return (GROUP_CODE if in_group else USER_CODE) + REFUSALS.index(refusal)


class RecentReads(Generic[T]):
    """Answers of MongoDB, read at most once a second; the last ones while it does not answer."""

    def __init__(self, read: Callable[..., Awaitable[T]]) -> None:
        self._read = read
        self._answers: Cache[tuple[str, ...], T] = Cache(MAX_AGE_SECONDS, MAX_ANSWERS)

    async def get(self, *key: str) -> T | None:
        """Return the answer to `read(*key)`; None if there has never been one."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._answers.load(key, lambda: self._read(*key))
        except Exception as error:
            if storage_error(error) is None and not isinstance(error, TimeoutError):
                raise
            return self._answers.last(key)


class FoundRoom(NamedTuple):
    """The room that has a group at present; None if there is none, which is an answer as well."""

    room: Room | None


class MessageCheckService:
    """Decides whether IM sends a message; keeps the lines that it allows in a room."""

    def __init__(
        self, stores: Stores, admin: str, find_word: Callable[[str], str], rate: Rate
    ) -> None:
        """Take our account at IM, what finds a forbidden word, and each user's `rate`."""
        self._users = RecentReads(stores.users.find)
        self._rooms = RecentReads(self._read_room)
        self._pairs = RecentReads(stores.user_blocks.are_apart)
        self._members = RecentReads(self._read_member)
        self._memberships, self._of_group = stores.members, stores.rooms.of_group
        self._lines = stores.chat_lines
        self._buckets = TokenBuckets(rate)
        self._admin = admin
        self._find_word = find_word

    async def check(self, message: ProposedMessage) -> Refusal | None:
        """Return why the message is refused, or None."""
        is_ours = message.receiver or message.group_id.startswith(GROUP_PREFIX)
        if not is_ours or message.sender == self._admin:
            return None
        room = None
        if message.receiver:
            banned, apart = await asyncio.gather(
                self._is_banned(message.sender), self._pairs.get(message.sender, message.receiver)
            )
            refusal: Refusal | None = "banned" if banned else "blocked" if apart else None
        else:
            found, member = await asyncio.gather(
                self._rooms.get(message.group_id),
                self._members.get(message.sender, message.group_id),
            )
            room = found and found.room
            refusal = _refusal_in(room, message.sender) if room else None
            if found and room is None:
                refusal = "not_in_room"  # the room has another group by now
            # By room alone: its present live may have begun after the room was read.
            if room and member and member.live_id != room.live_id:
                is_banned = await self._is_banned(message.sender)
                refusal = refusal or ("banned" if is_banned else "not_in_room")
            elif room and room.visibility == "private" and member is None:
                refusal = refusal or "not_in_room"  # also while MongoDB does not answer
        refusal = refusal or await self._refusal_of_content(message)
        if room and refusal is None:
            self._lines.add(room.live_id, ChatLine(message.sender, message.text, now_ms()))
        return refusal

    async def _read_room(self, group_id: str) -> FoundRoom:
        return FoundRoom(await self._of_group(group_id))

    async def _read_member(self, user_id: str, _group_id: str) -> Member:
        """Return the user's membership, or one of no room: None would count as no answer.

        By group, so that no answer from before the user entered its room counts.
        """
        member = await self._memberships.get(user_id)
        return member or Member(user_id, 0, "", 0, "viewer", 0)

    async def _is_banned(self, user_id: str) -> bool:
        user = await self._users.get(user_id)
        return user is not None and user.banned

    async def _refusal_of_content(self, message: ProposedMessage) -> Refusal | None:
        """Check the rate first: it bounds how often texts are searched."""
        if self._buckets.take(message.sender, time.monotonic()):
            return "rate"
        if message.group_id and message.has_other_elements:
            return "imitation"
        if _imitates_us(message):
            if message.group_id or _imitates_us(message, but="invite"):
                return "imitation"
            member = await self._members.get(message.sender, message.group_id)
            if member is None or member.role != "host":
                return "imitation"
        return "words" if self._find_word(" ".join((*message.texts, *message.customs))) else None


def _refusal_in(room: Room, user_id: str) -> Refusal | None:
    now = now_ms()
    if room.is_banned(user_id, now):
        return "banned"
    if room.muted.get(user_id, 0) > now:
        return "muted"
    return "muted_all" if room.mute_all and user_id != room.host_id else None


def _imitates_us(message: ProposedMessage, but: str = "") -> bool:
    """Return whether a client could take the message for one of ours, or for a gift.

    Custom elements, which clients may show like texts of ours, may be of the kind `but`.
    """
    return any(map(_imitates, message.texts)) or any(
        _imitates(custom, GIFTS, but) for custom in message.customs
    )


def _imitates(text: str, words: Sequence[str] = (), but: str = "") -> bool:
    """Return whether a text is of a kind of ours, or has one of the words, escaped or not."""
    try:
        content = json.loads(text, parse_int=float)  # of any number of digits, as in a client
        plain = str(content).lower()
    except ValueError:
        content, plain = None, text.lower()
    except RecursionError:
        return True  # a client may read what is nested so deeply
    kind = content.get("type") if isinstance(content, dict) else None
    return (kind in KINDS and kind != but) or any(word in plain for word in words)
