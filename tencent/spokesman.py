"""What is said on Tencent IM for one room during one turn of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from rooms.events import LAST, Numbered
from tencent.im import IMRefused
from tencent.relay_ports import Group, Look, Messages, Past, Store, Turn
from tencent.relay_words import Word, num, over, present, without_surplus, words

log = structlog.get_logger("tencent.relay")

PER_SECOND = 30  # messages to one group; IM allows 40, chat among them
SPACING = 1 / PER_SECOND
AT_A_STRETCH = 1.0  # seconds; then the log is read again, since more may have piled up
NUM_EVERY = timedelta(seconds=1)
LIMIT = 12.0  # seconds for one message; a call that is repeated once may take 10.4
LEASE = timedelta(seconds=40)  # outlives two messages and the readings before them

# A room that is relayed for the first time is told from here on. Another process may be a little
# late with the wake of an earlier event: so we begin earlier, and leave out what is old.
BEGINS_BACK = 200  # events; less than the log keeps
BEGINS_BEFORE = timedelta(seconds=5)


class Lost(Exception):
    """Somebody else has the turn now."""


class Spokesman:
    """Says what is next, in order, and saves after every event how far it has come.

    Whoever dies in between has the last event said again by the next one, with the same Random.
    """

    def __init__(
        self,
        store: Store,
        past: Past,
        im: Messages,
        look: Look,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """`clock` and `sleep` in seconds."""
        self._store = store
        self._past = past
        self._im = im
        self._look = look
        self._now = now
        self._clock = clock
        self._sleep = sleep

    async def speak(self, turn: Turn) -> None:
        """At most about a second of what the room has to say; what is left stays due.

        Lost, ServiceAway, TimeoutError, or what the store raises: the cursor stays where it was.
        """
        group = await self._look(turn.live_id)
        if group is None:
            await self._rest(turn, turn.num_at, None, num_due=False)
            return
        seq = _begin(turn, group)
        events = await self._missed(turn, group, seq)
        if events is None:
            more, num_due = await self._begin_anew(turn, group), group.live
        else:
            more = await self._retell(turn, group, events, seq)
            num_due = turn.num_due and group.live
        await self._end(turn, group, more=more, num_due=num_due)

    async def _missed(self, turn: Turn, group: Group, seq: int) -> list[Numbered] | None:
        if seq == group.version:
            return []
        return await self._past.log_since(turn.live_id, group.epoch, seq)

    async def _retell(self, turn: Turn, group: Group, events: list[Numbered], seq: int) -> bool:
        """Whether something is left to be told."""
        kept = without_surplus(events, PER_SECOND)
        if left_out := len(events) - len(kept):
            log.info("gifts_left_out", live_id=turn.live_id, gifts=left_out)
        since = (turn.since - BEGINS_BEFORE).timestamp() * 1000
        began = self._clock()
        for event in kept:
            if self._clock() - began >= AT_A_STRETCH:
                return True
            now_ms = int(self._now().timestamp() * 1000)
            said = words(event, group.group_id, now_ms) if event.ts >= since else []
            for word in said:
                await self._say(turn, group, word)
            if said:
                await self._move(turn, group.epoch, event.seq, is_over=event.type == LAST)
        last = events[-1].seq if events else seq
        if (group.epoch, last) != (turn.epoch, turn.seq):
            is_over = bool(events) and events[-1].type == LAST
            await self._move(turn, group.epoch, last, is_over=is_over)
        return False

    async def _begin_anew(self, turn: Turn, group: Group) -> bool:
        """Too much was missed to tell all of it: who sits here now, and then the latest of it.
        Whether something is left to be told."""
        log.warning("relay_begins_anew", live_id=turn.live_id, seq=group.version)
        if not group.live:
            await self._say(turn, group, over(group.epoch, group.version))
            await self._move(turn, group.epoch, group.version, is_over=True)
            return False
        for word in present(group.epoch, group.version, group.on_mic):
            await self._say(turn, group, word)
            await self._move(turn, turn.epoch, turn.seq, is_over=False)  # the turn stays ours
        latest = max(0, group.version - BEGINS_BACK)
        await self._move(turn, group.epoch, latest, is_over=False)
        return True

    async def _end(self, turn: Turn, group: Group, *, more: bool, num_due: bool) -> None:
        now, num_at = self._now(), turn.num_at
        if num_due and num_at <= now:
            said = num(group.host_id, group.group_id, group.num_list, group.epoch, turn.woken)
            await self._say(turn, group, said)
            num_due, num_at = False, now + NUM_EVERY
        due_at = now if more else num_at if num_due else None
        await self._rest(turn, num_at, due_at, num_due=num_due)

    async def _say(self, turn: Turn, group: Group, word: Word) -> None:
        """Not faster than PER_SECOND to the group; what IM refuses is left out."""
        began = self._clock()
        try:
            async with asyncio.timeout(LIMIT):
                if word.to:
                    await self._im.send_text(word.to, word.text, word.random, word.seconds)
                else:
                    await self._im.send_group_msg(
                        group.group_id, word.text, word.random, word.priority
                    )
        except IMRefused as refused:
            log.warning(
                "not_relayed", live_id=turn.live_id, kind=word.kind, error_code=refused.code
            )
        if not word.to:
            await self._sleep(max(0.0, began + SPACING - self._clock()))

    async def _move(self, turn: Turn, epoch: str, seq: int, *, is_over: bool) -> None:
        until = self._now() + LEASE
        if not await self._store.moved(turn, epoch, seq, until, over=is_over):
            raise Lost

    async def _rest(
        self, turn: Turn, num_at: datetime, due_at: datetime | None, *, num_due: bool
    ) -> None:
        await self._store.rest(turn, self._now(), num_at, due_at, num_due=num_due)


def _begin(turn: Turn, group: Group) -> int:
    """After which event of the present life to go on."""
    if turn.epoch == group.epoch:
        return turn.seq
    return 0 if turn.epoch else max(0, group.version - BEGINS_BACK)
