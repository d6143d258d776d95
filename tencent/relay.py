"""The relay: whatever happens in a room is told on Tencent IM, too, for clients that listen there.

Persistent, in order for each room, never in the way of a request. What stands in the store is
how far a room has been told, not what: that is read from the room's own log.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from rooms.events import Numbered
from rooms.refusals import Refusal
from tencent.relay_ports import Look, Messages, Past, Store, Turn
from tencent.relay_words import COUNTED
from tencent.spokesman import LEASE, Lost, Spokesman

log = structlog.get_logger("tencent.relay")

AT_ONCE = 32  # rooms; so many that one that waits for IM holds up no other
MOST_WAKES = 10_000  # rooms that wait to be written down
GATHER = 0.1  # seconds in which the wakes of one room become one
STIRS_EVERY = 1.0  # seconds; people come and go all the time, and their number may be late
LOOK_BACK_EVERY = 30.0  # seconds; a process may die before it has written a wake down
SHORTEST, LONGEST = 1.0, 60.0  # seconds until a room is tried again


class Relay:
    """`tell` and `stir` are ears of the keeper; `run` does the rest.

    Several processes may run one on the same store: a room is always told by one of them.
    """

    def __init__(
        self,
        store: Store,
        past: Past,
        im: Messages,
        look: Look,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        idle: float = 1.0,
        is_away: Callable[[BaseException], object] = lambda _error: None,
    ) -> None:
        """`idle`: seconds between two looks at what others left, `clock` and `sleep` in seconds;
        `is_away` knows what the store raises while it is away."""
        self._store = store
        self._past = past
        self._spokesman = Spokesman(store, past, im, look, now=now, clock=clock, sleep=sleep)
        self._now = now
        self._clock = clock
        self._idle = idle
        self._is_away = is_away
        self._told: dict[int, bool] = {}  # by live_id, whether the numbers may have changed
        self._stirred: set[int] = set()
        self._writing = 0  # wakes on their way to the store
        self._stirs_due = self._look_back_due = clock()
        self._turns: set[asyncio.Task[None]] = set()
        self._nudged = asyncio.Event()
        self._store_is_away = False
        self._is_full = False

    # ---- what others tell the relay

    def tell(self, live_id: int, events: Sequence[Numbered]) -> None:
        """The room has saved these events; never waits, never raises."""
        if events and self._has_room(live_id):
            self._note(live_id, num=any(event.type in COUNTED for event in events))
            self._nudged.set()

    def stir(self, live_id: int) -> None:
        """The number of people in the room may have changed; never waits, never raises."""
        if self._has_room(live_id):
            self._stirred.add(live_id)
            self._nudged.set()

    @property
    def waiting(self) -> int:
        """Wakes of rooms that the store does not know of yet."""
        return len(self._told) + len(self._stirred) + self._writing

    # ---- the round

    async def run(self, stopping: asyncio.Event) -> None:
        """Relays until `stopping` is set, and then ends what is under way."""
        try:
            while not stopping.is_set():
                await self._write_wakes()
                await self._take_turns()
                await self._rest(stopping)
            self._stirs_due = self._clock()
            await self._write_wakes()
            if self._turns:
                await asyncio.wait(self._turns)
        finally:
            for turn in self._turns:
                turn.cancel()
            await asyncio.gather(*self._turns, return_exceptions=True)

    async def _write_wakes(self) -> None:
        """Tell the store which rooms have something to say; it is kept until that has worked."""
        if self._clock() >= self._stirs_due:
            if self._stirred:
                self._stirs_due = self._clock() + STIRS_EVERY
            while self._stirred:
                self._note(self._stirred.pop(), num=True)
        worked = True
        while self._told and worked:
            some = [(live_id, self._told.pop(live_id)) for live_id in list(self._told)[:AT_ONCE]]
            self._writing = len(some)
            try:
                worked = all(await asyncio.gather(*(self._wake(*wake) for wake in some)))
            finally:
                self._writing = 0

    async def _wake(self, live_id: int, num: bool) -> bool:  # noqa: FBT001 - an item of _told
        try:
            await self._store.wake(live_id, self._now(), num=num)
        except Exception as error:  # noqa: BLE001 - any driver's error; the runner never dies
            self._note_store(error)
            self._note(live_id, num=num)
            return False
        return True

    async def _take_turns(self) -> None:
        try:
            if self._clock() >= self._look_back_due:
                await self._look_back()
                self._look_back_due = self._clock() + LOOK_BACK_EVERY
            while len(self._turns) < AT_ONCE:
                now = self._now()
                turn = await self._store.claim(now, now + LEASE)
                self._note_store(None)
                if turn is None:
                    break
                task = asyncio.get_running_loop().create_task(self._take(turn))
                self._turns.add(task)
                task.add_done_callback(self._end_turn)
        except Exception as error:  # noqa: BLE001 - any driver's error; the runner never dies
            self._note_store(error)

    async def _look_back(self) -> None:
        """Wake the rooms that have gone on without anybody here having been told."""
        cursors = await self._store.cursors()
        for live_id, version in (await self._past.versions(list(cursors))).items():
            if cursors[live_id] != version:
                await self._store.wake(live_id, self._now(), num=False)

    async def _take(self, turn: Turn) -> None:
        why = ""
        try:
            await self._spokesman.speak(turn)
        except Lost:
            log.warning("turn_lost", live_id=turn.live_id)  # who has it now goes on
        except (Refusal, TimeoutError) as error:
            why = f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            await self._put_off(turn, 0.0)  # for another process, now
            raise
        except Exception as error:  # noqa: BLE001 - any driver's error; the runner never dies
            why = self._broke(turn, error)
        if why:
            seconds = back_off(turn.tries + 1)
            log.info("room_put_off", live_id=turn.live_id, seconds=round(seconds, 1), why=why)
            await self._put_off(turn, seconds)

    def _broke(self, turn: Turn, error: Exception) -> str:
        """With its trace, unless it is what the store says while it is away."""
        if self._is_away(error):
            self._note_store(error)
        else:
            log.error("turn_broke", live_id=turn.live_id, exc_info=error)
        return type(error).__name__

    async def _put_off(self, turn: Turn, seconds: float) -> None:
        try:
            await self._store.later(turn, self._now() + timedelta(seconds=seconds))
        except Exception as error:  # noqa: BLE001 - any driver's error; the runner never dies
            self._note_store(error)  # its lease runs out, and it is somebody's turn again

    async def _rest(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._nudged, stopping)]
        # Nudges come with every request: they must not turn an outage into a busy loop.
        awaited = waits[1:] if self._store_is_away else waits
        await asyncio.wait(awaited, timeout=self._idle, return_when=asyncio.FIRST_COMPLETED)
        if self._nudged.is_set():
            await asyncio.wait(waits[1:], timeout=min(GATHER, self._idle))
        for wait in waits:
            wait.cancel()
        self._nudged.clear()

    # ---- the small steps

    def _end_turn(self, task: asyncio.Task[None]) -> None:
        self._turns.discard(task)
        self._nudged.set()  # the room may have been woken meanwhile, or another one waits

    def _note(self, live_id: int, *, num: bool) -> None:
        self._told[live_id] = num or self._told.get(live_id, False)

    def _has_room(self, live_id: int) -> bool:
        """Beyond MOST_WAKES a room waits for its next event, or for the next look back."""
        full = self.waiting >= MOST_WAKES
        if full and not self._is_full:
            log.error("relay_is_full", rooms=MOST_WAKES)
        self._is_full = full
        return not full or live_id in self._told or live_id in self._stirred

    def _note_store(self, error: Exception | None) -> None:
        away = error is not None
        if away and not self._store_is_away:
            log.error("relay_cannot_reach_its_store", why=type(error).__name__)
        if not away and self._store_is_away:
            log.info("relay_reaches_its_store_again")
        self._store_is_away = away


def back_off(tries: int) -> float:
    """Seconds until the next try: doubling from 1 s to 1 min, jittered by half."""
    doubled = min(LONGEST, SHORTEST * 2.0 ** min(tries - 1, 10))
    return max(SHORTEST, min(LONGEST, doubled * random.uniform(0.5, 1.5)))
