"""An IM relay on a real MongoDB that sends to the simulator over HTTP; rooms are in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from rooms.events import NumberedEvent
from rooms.members import MemberCounts, Person
from rooms.room import Room
from rooms.state import Seat
from services.chat.im_relay import ImPublisher, ImRelay
from services.jobs.claimed_jobs import JobRunner
from tencent.im import ImClient
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock
from tests.support.waiting import until

HOST, GUEST = "9", "1"
LOG_SIZE = 256
Payload = dict[str, Any]


def face(user_id: str) -> Payload:
    return {"user_id": user_id, "nickname": user_id, "face_url": "", "gender": 1}


def guest_payload(user_id: str) -> Payload:
    """Payload of micro_accept."""
    return {**face(user_id), "play_url": f"https://play/{user_id}", "area": "", "age": 20}


class MemoryRoomLogs:
    """Rooms with their event logs; a log keeps the last LOG_SIZE events."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.logs: dict[int, list[NumberedEvent]] = {}
        self.epochs: dict[int, str] = {}
        self.group_ids = {live_id: f"qlive{live_id}" for live_id in range(1, 41)}
        self.counts = [0, 0, 0, 0]
        self.public_since = 0
        self.emptied = 0
        """Sequence number of the last event of a user who is deleted."""
        self.guests: list[str] = []
        """User ids of at most two guests on mic."""

    def open(self, live_id: int, epoch: str) -> None:
        self.epochs[live_id], self.logs[live_id] = epoch, []

    def add_event(
        self, live_id: int, event_type: str, data: Payload | None = None
    ) -> list[NumberedEvent]:
        """Append an event about GUEST by default, opening the room if necessary."""
        if live_id not in self.epochs:
            self.open(live_id, "e1")
        log, now = self.logs[live_id], int(self.clock() * 1000)
        event = NumberedEvent(
            self.epochs[live_id], len(log) + 1, now, event_type, data or face(GUEST)
        )
        log.append(event)
        return [event]

    def add_gifts(self, live_id: int, count: int) -> list[NumberedEvent]:
        """Append gifts whose ids are their sequence numbers."""
        events: list[NumberedEvent] = []
        for _ in range(count):
            gift = {"id": len(self.logs.get(live_id, ())) + 1, "name": "", "image": ""}
            events += self.add_event(live_id, "gift", {"gift": gift, "num": 1})
        return events

    async def log_since(self, live_id: int, epoch: str, seq: int) -> list[NumberedEvent] | None:
        log = self.logs[live_id]
        is_kept = max(0, len(log) - LOG_SIZE) <= seq <= len(log) and seq >= self.emptied
        return log[seq:] if is_kept and epoch == self.epochs[live_id] else None

    async def versions(self, live_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
        return {n: (self.epochs[n], len(self.logs[n])) for n in live_ids if n in self.logs}

    async def read(self, live_id: int) -> Room | None:
        if live_id not in self.epochs:
            return None
        log, group_id = self.logs[live_id], self.group_ids[live_id]
        is_over = bool(log) and log[-1].type == "live_end"
        seats = [Seat(Person(guest), guest) for guest in self.guests] + [None, None]
        return Room(
            live_id,
            group_id,
            Seat(Person(HOST), ""),
            epoch=self.epochs[live_id],
            version=len(log),
            public_since=self.public_since,
            status="ended" if is_over else "live",
            male=seats[0],
            female=seats[1],
        )

    async def count(self, _live_id: int, _epoch: str) -> MemberCounts:
        men_applying, men, women_applying, women = self.counts
        return MemberCounts(men_applying, men, women_applying, women)

    def play(self, stream: str) -> str:
        """As StreamUrls."""
        return f"https://play/{stream}"


class RelayFixture:
    """Any number of relays on one store, with rooms 1 to 40 and a clock that tests advance."""

    def __init__(self, simulator: Any, im: ImClient, clock: Clock, stores: StoresFixture) -> None:
        self.simulator, self.im, self.clock = simulator, im, clock
        self.rooms = MemoryRoomLogs(clock)
        self.database, self.store = stores.database, stores.relay_cursors
        self.outbox = stores.outbox
        self.cursors = self.database.collection("relay_cursors")
        self.orders = self.database.collection("outbox")
        for user_id in (HOST, GUEST):
            simulator.im.accounts[user_id] = {}
        for group_id in self.rooms.group_ids.values():
            simulator.im.groups[group_id] = {}

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    async def sleep(self, seconds: float) -> None:
        self.clock.now += seconds
        await asyncio.sleep(0)

    def relay(self, store: Any = None, idle: float = 0.01) -> ImRelay:
        """The relay of one process."""
        rooms: Any = self.rooms
        stores: Any = SimpleNamespace(
            relay_cursors=store or self.store, rooms=rooms, members=rooms, outbox=self.outbox
        )
        publisher = ImPublisher(
            stores, rooms, self.im, now=self.now, clock=self.clock, sleep=self.sleep
        )
        return ImRelay(stores, publisher, idle=idle)

    @asynccontextmanager
    async def running(self, **replaced: Any) -> AsyncIterator[ImRelay]:
        relay, stopping = self.relay(**replaced), asyncio.Event()
        task = asyncio.ensure_future(JobRunner(relay).run(stopping))
        try:
            yield relay
        finally:
            stopping.set()
            await task

    # ---- dissolved groups

    def dissolve_group(self, live_id: int) -> None:
        del self.simulator.im.groups[self.rooms.group_ids[live_id]]

    def replace_group(self, live_id: int, group_id: str) -> list[NumberedEvent]:
        """As the outbox does; returns the event."""
        self.simulator.im.groups[group_id] = {}
        self.rooms.group_ids[live_id] = group_id
        return self.rooms.add_event(live_id, "group", {"group_id": group_id})

    async def ordered_replacements(self) -> list[tuple[int, str]]:
        """(live_id, dissolved group) of each ordered replacement."""
        rows = await self.orders.find({"kind": "replace_group"}).to_list()
        return [(row["payload"]["live_id"], row["payload"]["group_id"]) for row in rows]

    # ---- messages that IM has received

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.simulator.im.messages

    @property
    def texts(self) -> list[dict[str, Any]]:
        """The decoded texts of the messages, in order."""
        return [json.loads(message["text"]) for message in self.messages]

    @property
    def types(self) -> list[str]:
        return [text["type"] for text in self.texts]

    # ---- waiting

    async def until_idle(self, relay: ImRelay) -> None:
        """Wait until nothing is left to relay; advances the clock for counts that are not due."""

        async def is_idle() -> bool:
            all_stored = not relay.waiting  # before the rows are read, or a wake falls between
            due = [row["due_at"] async for row in self.cursors.find({"due_at": {"$exists": True}})]
            if due and min(due) > self.now():
                self.clock.now += 1
            return all_stored and not due

        await until(is_idle)

    async def until_only_counts_wait(self, relay: ImRelay) -> None:
        """Wait until all events of room 1 are sent; its counts may still wait for their time."""

        async def only_counts_wait() -> bool:
            all_stored = not relay.waiting
            row = await self.cursors.find_one({"_id": 1})
            assert row
            all_sent = row["seq"] == len(self.rooms.logs[1])
            return all_sent and all_stored and row["due_at"] > self.now()

        await until(only_counts_wait)

    async def until_sent(self, count: int) -> None:
        await until(lambda: len(self.messages) >= count)

    async def until_postponed(self, tries: int = 1) -> None:
        postponed = {"_id": 1, "tries": {"$gte": tries}}
        await until(lambda: self.cursors.count_documents(postponed))
