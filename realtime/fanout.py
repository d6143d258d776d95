"""From one room to many sockets: in slices, so that a large room lets others have their turn, and
in a busy room several frames in one send, since a send costs the same for one as for ten."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from realtime.outbox import Outbox

log = structlog.get_logger(__name__)

SLICE = 256
BUSY_SECONDS = 0.05
"""A room that had an event within this time is busy: its next one waits for others."""


def unmeasured(_seconds: float) -> None:
    """What is told is not measured."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How rooms are told: so many sockets before others get their turn; in a busy room frames
    that become ready within `gather` seconds leave together. `told` hears of every event how long
    after its saving the last socket here had it."""

    slice: int = SLICE
    gather: float = 0.0
    told: Callable[[float], None] = unmeasured


@dataclass(slots=True)
class Round:
    """Frames (or a goodbye) for the sockets that were there when the round was called for."""

    outboxes: Sequence[Outbox]
    due: float = 0.0
    frames: list[bytes] = field(default_factory=list)
    saved_at: list[float] = field(default_factory=list)
    seq: int = 0
    bye: Callable[[Outbox], None] | None = None

    @property
    def data(self) -> bytes:
        return b"".join(self.frames)


class Fanout:
    """The sockets of a room by user_id, and what is on its way to them.

    While no round is under way a small room is told at once. Otherwise frames wait for the next
    round, joined; a socket that comes while they wait has them from its opening already, so it
    is told apart (`_fresh`) until a round begins that knows it.
    """

    def __init__(self, pace: Pace) -> None:
        self.sockets: dict[str, Outbox] = {}
        self.sent = 0
        """Every socket has been handed all events up to this one."""
        self._pace = pace
        self._busy_until = 0.0
        self._rounds: deque[Round] = deque()
        self._fresh: list[Outbox] = []
        self._task: asyncio.Task[None] | None = None
        self._under_way: Round | None = None
        self._reached = 0
        """How many of the sockets of the round under way have it."""

    @property
    def busy(self) -> bool:
        return self._task is not None

    def add(self, outbox: Outbox) -> None:
        self.sockets[outbox.user_id] = outbox
        if self._rounds:
            self._fresh.append(outbox)

    def take_out(self, user_id: str) -> None:
        """They hear no more of this room but what is on its way to them, before their goodbye."""
        outbox = self.sockets.pop(user_id)
        if self._under_way and outbox in self._under_way.outboxes[self._reached :]:
            outbox.send(self._under_way.data)
        for round_ in self._rounds:
            if outbox in round_.outboxes:
                outbox.send(round_.data)

    def send(self, frame: bytes, seq: int, saved_at: float = 0.0) -> None:
        """To everybody here, in order; `seq` is the last event that they then have, `saved_at`
        (unix seconds) when this one was saved, 0 for what is none."""
        waits = self._waits(saved_at)
        if not (self.busy or waits) and len(self.sockets) <= self._pace.slice:
            _hand(list(self.sockets.values()), frame)
            self._done(seq, (saved_at,))
            return
        if self._rounds:
            for outbox in self._fresh:
                outbox.send(frame)
        else:
            due = time.monotonic() + self._pace.gather if waits else 0.0
            self._call(Round(list(self.sockets.values()), due))
        self._rounds[-1].frames.append(frame)
        self._rounds[-1].saved_at.append(saved_at)
        self._rounds[-1].seq = seq

    def dismiss(self, bye: Callable[[Outbox], None]) -> None:
        """Goodbye to everybody here, behind what they are still to hear. The last word."""
        outboxes, self.sockets = list(self.sockets.values()), {}
        if self.busy or len(outboxes) > self._pace.slice:
            self._call(Round(outboxes, bye=bye))
            return
        _dismiss(outboxes, bye)

    def _waits(self, saved_at: float) -> bool:
        """Whether this is an event in a busy room."""
        if not (self._pace.gather and saved_at):
            return False
        now = time.monotonic()
        was_busy, self._busy_until = now < self._busy_until, now + BUSY_SECONDS
        return was_busy

    def _call(self, round_: Round) -> None:
        self._rounds.append(round_)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._go_round())

    async def _go_round(self) -> None:
        try:
            while self._rounds:
                if (wait := self._rounds[0].due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                # From here on it takes no more frames: whoever comes next is in the next one.
                self._under_way = self._rounds.popleft()
                self._fresh.clear()
                try:
                    await self._tell(self._under_way)
                except Exception:  # what nobody foresaw must not silence the room
                    log.exception("round_broke")
                self._under_way = None
        finally:
            self._task = self._under_way = None

    async def _tell(self, round_: Round) -> None:
        data = round_.data
        for start in range(0, len(round_.outboxes), self._pace.slice):
            if start:
                self._reached = start
                await asyncio.sleep(0)
            some = round_.outboxes[start : start + self._pace.slice]
            if round_.bye:
                _dismiss(some, round_.bye)
            else:
                _hand(some, data)
        self._done(round_.seq, round_.saved_at)

    def _done(self, seq: int, saved_at: Iterable[float]) -> None:
        self.sent = seq
        now = time.time()
        for moment in filter(None, saved_at):
            self._pace.told(max(0.0, now - moment))


def _hand(outboxes: Sequence[Outbox], data: bytes) -> None:
    """The hot loop: one call of the socket's own send for whoever waits for nothing."""
    size = len(data)
    for outbox in outboxes:
        try:
            if (sent := outbox.push(data)) != size:
                outbox.keep(data[sent:])
        except Exception as error:  # noqa: BLE001 - it is looked at there
            _hand_with_care(outbox, data, error)


def _hand_with_care(outbox: Outbox, data: bytes, error: Exception) -> None:
    """One socket that breaks in a way nobody foresaw must not silence the room for all."""
    try:
        if not isinstance(error, OSError):
            raise error
        outbox.send(data)  # full, or gone: nothing of it was taken
    except Exception:
        log.exception("socket_broke", user_id=outbox.user_id)


def _dismiss(outboxes: Sequence[Outbox], bye: Callable[[Outbox], None]) -> None:
    for outbox in outboxes:
        try:
            bye(outbox)
        except Exception:  # one socket that breaks must not keep the others here
            log.exception("socket_broke", user_id=outbox.user_id)
