"""Whose connection stands and whose is gone, over all processes, and what comes of it.

A process stamps its name on the members it serves. A socket that closes makes its member away;
so does the end of a process (lease.py). What an absence leads to is a rule of the room
(rooms/room.py); this says when to ask.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from rooms import streams
from rooms.keeper import Keeper, now_ms
from rooms.people import ON_MIC
from rooms.presence import Arrival, Connection, Due, Patience, Place
from rooms.refusals import NoSuchRoom, NotYourRoom, TryAgain
from rooms.room import Room

log = structlog.get_logger("qlive.presence")

AT_ONCE = 16
"""Absences looked at side by side."""
CLOCKS_MS = 2_000
"""How far Tencent's clock may be from ours."""
PARTS = 500
"""Sockets that have closed, written down by one command."""
TRIES = 5


class Places(Protocol):
    """Where presence is kept: storage/presence.py says what each does."""

    async def arrive(
        self, user_id: str, live_id: int, process: str, now: int
    ) -> Arrival | None: ...
    async def part(self, gone: Sequence[Connection]) -> None: ...
    async def seen(self, user_id: str, now: int) -> bool: ...
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
        silent_ms: int,
        steady_ms: Callable[[], int],
    ) -> None:
        """`process` names this one, `steady_ms` says for how long it has held its lease."""
        self._places = places
        self._keeper = keeper
        self._patience = patience
        self._process = process
        self._silent_ms = silent_ms
        self._steady_ms = steady_ms
        self._gone: list[Connection] = []

    # ---- sockets and calls

    async def arrive(self, user_id: str, live_id: int) -> Connection:
        """A member's socket opens; its number is the highest of theirs. NotYourRoom.

        To be asked as soon as it is known who opens it: the number says which of two is newer.
        """
        arrival = await self._places.arrive(user_id, live_id, self._process, now_ms())
        if arrival is None:
            raise NotYourRoom
        if arrival.role in ON_MIC:  # never raises: from here on the socket must be parted again
            await self._come_back(live_id, user_id)
        return Connection(user_id, live_id, arrival.epoch, arrival.number)

    def part(self, gone: Connection) -> None:
        """A socket has closed; `flush` writes it down, however long MongoDB is away."""
        self._gone.append(gone)

    async def seen(self, user_id: str, live_id: int) -> None:
        """Somebody came in by a call, perhaps without any socket."""
        if await self._places.seen(user_id, now_ms()):
            await self._come_back(live_id, user_id)

    # ---- what is done again and again

    async def flush(self) -> None:
        """A part at a time, so that a crowd which left while MongoDB was away is written, too."""
        while some := self._gone[:PARTS]:
            await self._places.part(some)
            del self._gone[: len(some)]

    async def look_after(self) -> None:
        """Let come of absences what is due by now."""
        while True:
            claimed = await self._claim()
            outcomes = await asyncio.gather(
                *(self._look_after(due) for due in claimed), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome  # after all the others have had their turn
            if len(claimed) < AT_ONCE:
                return

    async def miss_silent(self) -> None:
        """People who never open a socket are away after hours without any sign of life."""
        now = now_ms()
        await self._places.miss_silent(now - self._silent_ms, now)

    # ---- what Tencent tells; the answer is "done" or why nothing came of it

    async def heard_state(
        self, user_id: str, *, online: bool, at_ms: int, group_id: str | None = None
    ) -> str:
        """An IM client of somebody has come or gone, from one group or (None) altogether."""
        place = await self._places.find(user_id)
        if place is None:
            return "not_in_a_room"
        if place.served:
            return "has_a_socket"
        if group_id and group_id != (await self._keeper.look(place.live_id)).group_id:
            return "other_group"
        if not online and at_ms < place.entered_at - CLOCKS_MS:
            return "old_event"  # they have come in since
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
                user_id, now, self._patience, since=now - self._steady_ms(), streams=due.streams
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
        """Now, if that can be; whoever is on mic and here again stands as due until it was."""
        try:
            await self._keeper.change(live_id, lambda room: room.come_back(user_id), user_id)
        except Exception as error:  # noqa: BLE001 - the next look makes up for it
            log.info("comes_back_later", live_id=live_id, error=type(error).__name__)


def _pushes(room: Room, user_id: str, stream: str) -> bool:
    seat = room.owner if user_id == room.host_id else room.seat_of(user_id)
    return room.live and seat is not None and seat.stream == stream
