"""Whose connection stands and whose is gone, over all processes, and what comes of it.

A process stamps its name on the members it serves and holds a lease. A socket that closes makes
its member away; so does the end of a process, whose lease anybody may find lapsed. What an
absence leads to is a rule of the room (rooms/room.py); this says when to ask.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from rooms import streams
from rooms.keeper import Keeper, now_ms
from rooms.people import ON_MIC, Role
from rooms.presence import Connection, Due, Patience, Place
from rooms.refusals import NoSuchRoom, NotYourRoom, TryAgain
from rooms.room import Room

log = structlog.get_logger("qlive.presence")

AT_ONCE = 16
"""Absences looked at side by side."""
TRIES = 5


class Places(Protocol):
    """Where presence is kept: storage/presence.py says what each does."""

    async def arrive(
        self, user_id: str, live_id: int, epoch: str, process: str, now: int
    ) -> int: ...
    async def part(self, gone: Sequence[Connection]) -> None: ...
    async def stamp(self, here: Sequence[Connection], process: str) -> None: ...
    async def seen(self, user_id: str, now: int) -> bool: ...
    async def on_mic(self, process: str) -> dict[str, int]: ...
    async def claim(self, now: int) -> Due | None: ...
    async def again(self, due: Due, at: int | None) -> None: ...
    async def drop(self, due: Due) -> None: ...
    async def miss_silent(self, before: int, now: int) -> None: ...
    async def find(self, user_id: str) -> Place | None: ...
    async def hear(
        self, user_id: str, place: Place, *, here: bool, now: int, said_at: int | None = None
    ) -> bool: ...
    async def note_stream(
        self, user_id: str, place: Place, stream: dict[str, Any], now: int
    ) -> bool: ...
    async def renew(self, process: str, seconds: float) -> bool: ...
    async def lapsed(self) -> list[str]: ...
    async def bury(self, process: str, now: int) -> int: ...


class Presence:
    """`arrive` and `part` are for sockets, `seen` for calls, `heard_*` for Tencent's callbacks;
    the rest is done again and again."""

    def __init__(
        self,
        places: Places,
        keeper: Keeper,
        patience: Patience,
        *,
        process: str,
        lease_seconds: float,
        silent_ms: int,
        here: Callable[[], list[Connection]],
    ) -> None:
        """`process` names this one; `here` are the sockets that it serves now."""
        self._places = places
        self._keeper = keeper
        self._patience = patience
        self._process = process
        self._lease = lease_seconds
        self._silent_ms = silent_ms
        self._here = here
        self._gone: list[Connection] = []
        self._renewed_at: float | None = None
        self.steady_since = now_ms()
        """Since when people could have come back: before, everything may have been down."""

    # ---- sockets and calls

    async def arrive(self, user_id: str, live_id: int, epoch: str, role: Role) -> int:
        """A member's socket opens: its number, the highest of theirs; NotYourRoom."""
        number = await self._places.arrive(user_id, live_id, epoch, self._process, now_ms())
        if not number:
            raise NotYourRoom
        if role in ON_MIC:
            await self._come_back(live_id, user_id)
        return number

    def part(self, gone: Connection) -> None:
        """A socket has closed; `flush` writes it down, however long MongoDB is away."""
        self._gone.append(gone)

    async def seen(self, user_id: str, live_id: int) -> None:
        """Somebody came in by a call, perhaps without any socket."""
        if await self._places.seen(user_id, now_ms()):
            await self._come_back(live_id, user_id)

    # ---- what is done again and again

    async def flush(self) -> None:
        gone, self._gone = self._gone, []
        try:
            await self._places.part(gone)
        except BaseException:
            self._gone = gone + self._gone
            raise

    async def renew(self) -> None:
        """Keep the lease. Whoever was taken for dead stamps what they serve anew."""
        known = await self._places.renew(self._process, self._lease)
        before, self._renewed_at = self._renewed_at, time.monotonic()
        if before is not None and self._renewed_at - before > self._lease:
            self.steady_since = now_ms()
        if before is not None and not known:
            log.warning("taken_for_dead", process=self._process)
            await self._places.stamp(self._here(), self._process)
            for user_id, live_id in (await self._places.on_mic(self._process)).items():
                await self._come_back(live_id, user_id)

    async def sweep(self) -> None:
        """Make the members of dead processes away.

        Not before this process has held its own lease for as long: after an outage of MongoDB
        all have lapsed, and the first to come back must not bury the others.
        """
        if now_ms() - self.steady_since < self._lease * 1000:
            return
        for process in await self._places.lapsed():
            if process != self._process:
                count = await self._places.bury(process, now_ms())
                log.warning("process_died", process=process, members=count)

    async def look_after(self) -> None:
        """Let come of absences what is due by now."""
        while True:
            claimed = await self._claim()
            outcomes = await asyncio.gather(
                *(self._look_after(due) for due in claimed), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome  # after all the others have had their turn
            if len(claimed) < AT_ONCE:
                return

    async def miss_silent(self) -> None:
        """People who never open a socket are away after hours without any sign of life."""
        now = now_ms()
        await self._places.miss_silent(now - self._silent_ms, now)

    async def leave(self) -> None:
        """The process ends in peace: nobody is served by it any more."""
        await self.flush()
        await self._places.bury(self._process, now_ms())

    # ---- what Tencent tells; the answer is "done" or why nothing came of it

    async def heard_state(self, user_id: str, *, online: bool, at_ms: int) -> str:
        """An IM client of somebody has come or gone."""
        place = await self._places.find(user_id)
        if place is None:
            return "not_in_a_room"
        if place.served:
            return "has_a_socket"
        if not await self._places.hear(user_id, place, here=online, now=now_ms(), said_at=at_ms):
            return "old_event"
        if online and place.away:
            await self._come_back(place.live_id, user_id)
        return "done"

    async def heard_stream(self, stream: str, *, on: bool, sequence: str, at_s: int) -> str:
        """A push has begun or ended at CSS; TryAgain when others are told of it, too."""
        user_id = stream.partition("_")[0]
        for _ in range(TRIES):
            place = await self._places.find(user_id)
            if place is None:
                return "not_in_a_room"
            room = await self._keeper.look(place.live_id, user_id)
            if not _pushes(room, user_id, stream):
                return "not_the_current_stream"
            kept, believed = streams.heard(place.stream, stream, on=on, sequence=sequence, at=at_s)
            if kept is None:
                return "old_sequence"
            if await self._places.note_stream(user_id, place, kept, now_ms()):
                return await self._believe(user_id, place, on=on) if believed else "old_sequence"
        raise TryAgain

    # ---- the small steps

    async def _claim(self) -> list[Due]:
        claimed: list[Due] = []
        while len(claimed) < AT_ONCE and (due := await self._places.claim(now_ms())):
            claimed.append(due)
        return claimed

    async def _look_after(self, due: Due) -> None:
        user_id, now = due.user_id, now_ms()

        def decide(room: Room) -> tuple[bool, int | None]:
            over = not room.live or room.epoch != due.epoch
            at = room.miss(
                user_id, now, self._patience, since=self.steady_since, streams=due.streams
            )
            return over, at

        try:
            over, at = await self._keeper.change(due.live_id, decide, user_id)
        except NoSuchRoom:
            over, at = True, None
        if over:
            await self._places.drop(due)
        else:
            await self._places.again(due, at)

    async def _believe(self, user_id: str, place: Place, *, on: bool) -> str:
        if place.served:
            return "done"  # their socket speaks for them; the stream only lends them time
        await self._places.hear(user_id, place, here=on, now=now_ms())
        if on and place.away:
            await self._come_back(place.live_id, user_id)
        return "done"

    async def _come_back(self, live_id: int, user_id: str) -> None:
        await self._keeper.change(live_id, lambda room: room.come_back(user_id), user_id)


def _pushes(room: Room, user_id: str, stream: str) -> bool:
    seat = room.owner if user_id == room.host_id else room.seat_of(user_id)
    return room.live and seat is not None and seat.stream == stream
