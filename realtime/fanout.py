"""From one room to many sockets: in slices, so that a large room lets others have their turn."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from realtime.outbox import Outbox

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Round:
    """Frames (or a goodbye) for the sockets that were there when the round was called for."""

    outboxes: Sequence[Outbox]
    frames: list[bytes] = field(default_factory=list)
    seq: int = 0
    bye: Callable[[Outbox], None] | None = None


class Fanout:
    """The sockets of a room by user_id, and what is on its way to them.

    While no round is under way a small room is told at once. Otherwise frames wait for the next
    round, joined; a socket that comes while they wait has them from its opening already, so it
    is told apart (`_fresh`) until a round begins that knows it.
    """

    def __init__(self, slice_: int) -> None:
        self.sockets: dict[str, Outbox] = {}
        self.sent = 0
        """Every socket has been handed all events up to this one."""
        self._slice = slice_
        self._rounds: deque[Round] = deque()
        self._fresh: list[Outbox] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def add(self, outbox: Outbox) -> None:
        self.sockets[outbox.user_id] = outbox
        if self._rounds:
            self._fresh.append(outbox)

    def send(self, frame: bytes, seq: int) -> None:
        """To everybody here, in order; `seq` is the last event that they then have."""
        if not self.busy and len(self.sockets) <= self._slice:
            for outbox in list(self.sockets.values()):
                _hand(outbox, frame, None)
            self.sent = seq
            return
        if self._rounds:
            for outbox in self._fresh:
                outbox.send(frame)
        else:
            self._call(Round(list(self.sockets.values())))
        self._rounds[-1].frames.append(frame)
        self._rounds[-1].seq = seq

    def dismiss(self, bye: Callable[[Outbox], None]) -> None:
        """Goodbye to everybody here, behind what they are still to hear. The last word."""
        outboxes, self.sockets = list(self.sockets.values()), {}
        if self.busy or len(outboxes) > self._slice:
            self._call(Round(outboxes, bye=bye))
            return
        for outbox in outboxes:
            bye(outbox)

    def _call(self, round_: Round) -> None:
        self._rounds.append(round_)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._go_round())

    async def _go_round(self) -> None:
        while self._rounds:
            # From here on it takes no more frames, and whoever comes next is in the next one.
            round_ = self._rounds.popleft()
            self._fresh.clear()
            data = b"".join(round_.frames)
            for start in range(0, len(round_.outboxes), self._slice):
                for outbox in round_.outboxes[start : start + self._slice]:
                    _hand(outbox, data, round_.bye)
                await asyncio.sleep(0)
            self.sent = round_.seq
        self._task = None


def _hand(outbox: Outbox, data: bytes, bye: Callable[[Outbox], None] | None) -> None:
    """One socket that breaks in a way nobody foresaw must not silence the room for all."""
    try:
        if bye:
            bye(outbox)
        else:
            outbox.send(data)
    except Exception:
        log.exception("socket_broke", user_id=outbox.user_id)
