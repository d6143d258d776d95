"""Presence on a real MongoDB: a live room, its people, and as many processes as a test wants."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import AutoReconnect

from realtime.lease import Lease
from realtime.presence import Presence
from rooms.events import Numbered
from rooms.keeper import Keeper, now_ms
from rooms.locks import Locks
from rooms.people import Person
from rooms.presence import Arrival, Connection, Patience, Place
from storage.counters import Counters
from storage.database import Database
from storage.errands import Errands
from storage.members import Members
from storage.presence import Presences
from storage.rooms import Rooms

NAME = "qlive_test_ward"
EPOCH = "epoch-1"
HOST = Person("10000000", "hong", "", 2)
BERT = Person("10000001", "bert", "", 1)
ANNA = Person("10000002", "anna", "", 2)
PATIENCE = Patience(shown=3_000, viewer=60_000, guest=45_000, host=120_000)
AN_HOUR = 3_600.0


class Ears:
    """Writes down what the room says."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def tell(self, _live_id: int, told: Sequence[Numbered]) -> None:
        self.said += [(event.type, event.data) for event in told]

    def stir(self, _live_id: int) -> None:
        pass

    def show_out(self, _live_id: int, _user_id: str, _number: int, *, barred: bool) -> None:
        pass

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.said]


class Places(Presences):
    """The real ones; but a test may have MongoDB away for a while, or a write whose answer is
    lost, or somebody else always faster."""

    away = False
    silent = False
    outrun = False

    async def arrive(self, user_id: str, live_id: int, process: str, now: int) -> Arrival | None:
        arrival = await super().arrive(user_id, live_id, process, now)
        if self.silent:
            raise AutoReconnect("the answer is lost")
        return arrival

    async def part(self, gone: Sequence[Connection]) -> None:
        if self.away:
            raise AutoReconnect("not now")
        await super().part(gone)

    async def stamp(self, here: Sequence[Connection], process: str, now: int) -> None:
        if self.away:
            raise AutoReconnect("not now")
        await super().stamp(here, process, now)

    async def note_stream(
        self, user_id: str, place: Place, stream: dict[str, Any], now: int
    ) -> bool:
        return False if self.outrun else await super().note_stream(user_id, place, stream, now)


@dataclass
class Process:
    """One process's lease and presence; `here` are the sockets that it serves."""

    presence: Presence
    lease: Lease
    name: str
    ears: Ears
    here: list[Connection] = field(default_factory=list)

    def held_for(self, seconds: float) -> None:
        """Its lease was renewed just now, and has been held for so long."""
        self.lease._renewed_at = time.monotonic()
        self.lease._held_since = time.monotonic() - seconds

    def sleep(self, seconds: float) -> None:
        """It has done nothing for so long, as far as its own clock tells."""
        assert self.lease._renewed_at is not None
        self.lease._renewed_at -= seconds
        self.lease._held_since -= seconds

    async def go_round(self) -> None:
        """Everything that is done again and again, once, whatever fails."""
        for work in (
            *(self.presence.flush, self.presence.look_after, self.lease.renew),
            *(self.lease.sweep, self.presence.miss_silent, self.lease.compare),
        ):
            with suppress(AutoReconnect):
                await work()


class Ward:
    def __init__(self, database: Database) -> None:
        self.database = database
        counters, self.members = Counters(database), Members(database)
        self.rooms = Rooms(database, self.members, counters, Errands(database), drops_streams=False)
        self.places = Places(database, PATIENCE)
        self.live_id = 0

    async def open(self) -> None:
        await self.rooms.make_indexes()
        await self.members.make_indexes()
        await self.places.make_indexes()
        self.live_id, _, _ = await self.rooms.of_host(HOST)
        await self._keeper(Ears()).change(
            self.live_id,
            lambda room: room.open(HOST, EPOCH, "host-stream", now_ms()),
            HOST.user_id,
        )

    async def process(
        self, name: str, *, lease: float = 15, patience: Patience = PATIENCE
    ) -> Process:
        """One that has held its lease for an hour."""
        process = self.fresh_process(name, lease=lease, patience=patience)
        await process.lease.renew()
        process.held_for(AN_HOUR)
        return process

    def fresh_process(
        self, name: str, *, lease: float = 15, patience: Patience = PATIENCE
    ) -> Process:
        """One that has said nothing yet."""
        here: list[Connection] = []
        ears = Ears()
        held = Lease(self.places, name, lease, lambda: list(here))
        presence = Presence(
            self.places,
            self._keeper(ears),
            patience,
            process=name,
            silent_ms=3_600_000,
            steady_ms=lambda: held.steady_ms,
        )
        return Process(presence, held, name, ears, here)

    async def enter(self, *people: Person) -> None:
        keeper = self._keeper(Ears())
        for person in people:
            await keeper.enter(self.live_id, person)

    async def seat(self, person: Person) -> None:
        await self.enter(person)
        await self._keeper(Ears()).change(
            self.live_id,
            lambda room: room.accept(person, "open", f"{person.user_id}_s", ""),
            person.user_id,
        )

    async def connect(self, process: Process, person: Person) -> Connection:
        process.here.append(await process.presence.arrive(person.user_id, self.live_id))
        return process.here[-1]

    async def row(self, person: Person) -> dict[str, Any]:
        """Their place as it is stored; {} for nobody's."""
        found = await self.database.collection("members").find_one({"_id": person.user_id})
        return dict(found or {})

    async def is_away(self, person: Person) -> bool:
        return (await self.row(person))["away_at"] is not None

    async def set(self, person: Person, **fields: Any) -> None:
        await self.database.collection("members").update_one(
            {"_id": person.user_id}, {"$set": fields}
        )

    async def let_lapse(self, process: Process) -> None:
        """Its lease has run out; it knows nothing of that."""
        past = [{"$set": {"expires_at": {"$subtract": ["$$NOW", 1]}}}]
        await self.database.collection("processes").update_one({"_id": process.name}, past)

    def _keeper(self, ears: Ears) -> Keeper:
        return Keeper(self.rooms, ears, Locks())
