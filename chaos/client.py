"""A client that listens: it comes back by the rules, and checks whatever it is told."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

from chaos.figures import Figures
from chaos.fleet import Fleet, Node
from chaos.hearing import Hearing
from chaos.wire import Wire, handshake

PATH = "/wx/api/qlive/ws/"
LONGEST_WAIT, FIRST_WAIT, SHORTEST_WAIT = 20.0, 0.5, 0.1
PEACE_SECONDS = 30.0
OPEN_SECONDS = 10.0
"""For the way to the first frame."""
LOG_IN_AGAIN = 4401
FINAL = frozenset((LOG_IN_AGAIN, *range(4500, 5000)))
"""Closing codes after which a client does not come back, or not with this token."""


@dataclass
class Manners:
    """How long a client bears silence: heartbeats come every 25 s ± 20 %."""

    silence: float = 40.0


class Client:
    """One member's ear in one room."""

    def __init__(
        self,
        fleet: Fleet,
        hearing: Hearing,
        token: str,
        figures: Figures,
        manners: Manners,
        chance: random.Random,
    ) -> None:
        self.hearing = hearing
        self.token = token
        self.node: Node | None = None
        self.wire: Wire | None = None
        self.code = 0
        """The code of the last end."""
        self.final = 0
        """The code after which it does not come back, if there was one."""
        self.wanted = True
        self.timed = False
        self.only: Node | None = None
        """The one process to which it goes, if it may not choose."""
        self._fleet, self._figures, self._manners, self._chance = fleet, figures, manners, chance
        self._failures = 0
        self._retry_ms: int | None = None
        self._away_since: tuple[float, str] | None = None
        """When and why the last connection was lost; None while all is well."""
        self._running: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self.wire is not None and self.hearing.opened

    def begin(self) -> None:
        """Listen, until told to stop, or told never to come back."""
        self.wanted, self.final, self._away_since = True, 0, None
        self._running = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        self.wanted = False
        if self._running:
            self._running.cancel()
        if self.wire:
            self.wire.drop()

    async def over(self) -> None:
        """Waits until it does not listen any more."""
        if self._running:
            await asyncio.wait([self._running])

    @property
    def failure(self) -> BaseException | None:
        """What broke this client, which is a mistake of its own."""
        task = self._running
        return task.exception() if task and task.done() and not task.cancelled() else None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self.wanted and not self.final:
            began = loop.time()
            self.code = await self._listen()
            if self.code in FINAL:
                self.final = self.code
                return
            self._lost(loop.time(), began)
            if loop.time() - began > PEACE_SECONDS:
                self._failures = 0
            await asyncio.sleep(self._pause())

    def look_after(self, now: float) -> None:
        """Once a second: whoever hears nothing for long, or misses something, comes back."""
        if self.wire is None or self.wire.transport is None:
            return
        patience = self._manners.silence if self.hearing.opened else OPEN_SECONDS
        if now - self.wire.heard_at > patience:
            self._figures.silences += 1
            self.wire.drop()

    # ---- one connection

    async def _listen(self) -> int:
        """The code with which it ended; 0 when nobody was there."""
        self.hearing.begin()
        self._retry_ms = None
        wire = Wire(handshake(self._path(), self.token), self._hear)
        if not await self._reach(wire):
            return 0
        self.wire = wire
        try:
            return await wire.ended
        finally:
            self.wire = None
            if wire.broke:
                self.hearing.faults.add("unreadable", f"{self.hearing.name}: {wire.broke!r}")

    async def _reach(self, wire: Wire) -> bool:
        """Whether somebody was there."""
        loop = asyncio.get_running_loop()
        for node in [self.only] if self.only else self._fleet.doors(self._chance):
            self.node = node
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(OPEN_SECONDS):
                    await loop.create_connection(lambda: wire, "127.0.0.1", node.port)
                return True
        return False

    def _path(self) -> str:
        hearing = self.hearing
        since = f"&epoch={hearing.epoch}&since={hearing.seq}" if hearing.seq >= 0 else ""
        return f"{PATH}?live_id={hearing.live_id}{since}"

    def _hear(self, payload: bytes) -> None:
        hearing = self.hearing
        frame = hearing.stories.parse(payload)
        if frame["type"] == "bye":
            self._retry_ms = frame["retry_ms"]
            self._figures.byes[frame["code"]] += 1
            return
        live, first = hearing.opened and not hearing.to_replay, not hearing.opened
        seq = hearing.seq
        hearing.hear(frame)
        if first:
            self._came_back()
        elif live and hearing.seq > seq:
            self._figures.tell(frame, timed=self.timed)
        if hearing.behind and self.wire:
            self.wire.drop()

    # ---- away and back

    def _came_back(self) -> None:
        if self._away_since:
            lost, why = self._away_since
            self._figures.back(why, asyncio.get_running_loop().time() - lost)
            self._away_since = None

    def _lost(self, now: float, began: float) -> None:
        if self._away_since is None:
            self._figures.reconnects += 1
            killed = self.node is not None and self.node.lost_at > began
            self._away_since = (now, "kill" if killed else "other")

    def _pause(self) -> float:
        """Seconds to wait before coming back; what the goodbye says goes first."""
        if self._retry_ms is not None:
            return max(SHORTEST_WAIT, self._retry_ms / 1000)
        most = min(LONGEST_WAIT, FIRST_WAIT * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        return max(SHORTEST_WAIT, self._chance.uniform(0, most))
