"""rooms: one document per room, with its state, version and last 256 events."""

import itertools
from collections.abc import Awaitable, Hashable, Sequence
from typing import Any, TypeVar

import structlog

from core.batching import BatchLoader, SingleFlight, parsed
from core.errors import TryAgain, WriteConflict
from core.limits import ConcurrencyLimit
from core.retry import retry_on_conflict
from rooms.changing_room import differing
from rooms.dates import date_fields
from rooms.events import LOG_SIZE, NumberedEvent
from rooms.members import Person
from rooms.room import Room
from rooms.state import Application, RoomState, Seat
from rooms.tickets import Ticket
from storage.chat import live_id_of, new_group_id
from storage.database import Collection, Database, Document
from storage.documents import documents_by_id, fields_of, known_fields
from storage.errors import StorageUnavailable
from storage.identities import IdentityStore
from storage.rooms.members import add_membership_writes, member_from
from storage.write_batch import GroupCommit, WriteBatch

log = structlog.get_logger("qlive.storage")

T = TypeVar("T")

CONCURRENT_LOG_READS = 16
"""Logs read at the same time. After a kill, clients of hundreds of rooms ask for them at once, more
than the connections that there may be (storage/database.py)."""
LOG_QUEUE_SECONDS = 2.5
"""Longest wait of such a read for others; the relay to IM renews its lease after two messages and
the reads before them (services/chat/im_relay.py)."""
UNREAD = ("log", "dates")
"""Fields that grow with the live: they are appended to without being loaded."""
TAIL_EVENTS = 16
"""Events read without the rest of the log (measured: 300 rooms in 0.10 s instead of 0.37 s)."""


class RoomStore:
    """Rooms, and the memberships that a change concerns, under an optimistic lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._identities = IdentityStore(database)
        self._rooms: Collection = database.collection("rooms")
        self._by_id = documents_by_id(self._rooms, room_from, *UNREAD)
        self._loads: BatchLoader[Room] = BatchLoader(self._load_many)
        self._load_numbers = itertools.count()
        self._log_reads = SingleFlight(self._read_events_since)
        self._log_readers = ConcurrencyLimit(CONCURRENT_LOG_READS, LOG_QUEUE_SECONDS)
        self._commits = GroupCommit(database)

    async def make_indexes(self) -> None:
        await self._rooms.create_index("host_id")
        await self._rooms.create_index([("status", 1), ("started_at", -1)])
        await self._rooms.create_index("due_at", sparse=True)
        await self._rooms.create_index("deputies")

    async def get_or_create(self, host: Person) -> tuple[int, str, bool]:
        """Return the host's only room, created if missing: (live_id, group_id, IM group exists)."""
        live_id = await self._identities.find("host", host.user_id)
        if live_id is None:
            live_id = await retry_on_conflict(lambda: self._create(host))
        fields = {"group_id": 1, "group_ready": 1}
        document = await self._rooms.find_one({"_id": live_id}, fields)
        assert document is not None
        return live_id, document["group_id"], document["group_ready"]

    async def _create(self, host: Person) -> int:
        """Create the host's room, unless another request has done so; return its live_id."""
        live_id = await self._database.next_number("live_id")
        room = Room(live_id, new_group_id(live_id), Seat(host, ""))
        created = {name: _stored(getattr(room, name)) for name in (*_VALUES, *_MAPS)}
        created |= {"_id": live_id, "version": 0, "group_ready": False, "log": {}, "dates": []}

        batch = WriteBatch()
        self._identities.add_to(batch, "host", host.user_id, live_id)
        batch.insert("rooms", {**created, "host_id": host.user_id})
        try:
            await self._commits.commit(batch)
        except WriteConflict:
            # None until a majority of MongoDB's members has the other request's room.
            if (found := await self._identities.find("host", host.user_id)) is None:
                raise
            return int(found)
        return live_id

    def read(self, live_id: int) -> Awaitable[Room | None]:
        """Read the room without memberships, read-only: concurrent callers share the object."""
        return self._by_id.get(live_id)

    async def of_group(self, group_id: str) -> Room | None:
        """Read the room, as `read` does, by its present chat group."""
        room = await self.read(live_id_of(group_id))
        return room if room and room.group_id == group_id else None

    async def of_host(self, user_id: str) -> Room | None:
        """Read the host's only room, as `read` does."""
        live_id = await self._identities.find("host", user_id)
        return await self.read(live_id) if live_id else None

    async def hosted_by(self, host_ids: Sequence[str]) -> dict[str, int]:
        """Return the lives of these hosts that are not private, by host, the latest first."""
        live_ids = await self._identities.find_many("host", host_ids)
        where: Document = {"_id": {"$in": live_ids}, "visibility": {"$ne": "private"}}
        where["status"] = {"$in": ["live", "paused"]}
        found = self._rooms.find(where, {"host_id": 1}).sort([("started_at", -1), ("_id", -1)])
        return {row["host_id"]: row["_id"] async for row in found}

    async def staffed_by(self, *user_ids: str) -> list[int]:
        """Return the rooms of which one of these users is the host or a deputy."""
        keepers = [{name: {"$in": [*user_ids]}} for name in ("host_id", "deputies")]
        return [row["_id"] async for row in self._rooms.find({"$or": keepers}, {"_id": 1})]

    async def of_ticket(self, ticket_id: str) -> Room | None:
        """Return the room that a ticket opens, without memberships."""
        live_id = await self._identities.find("ticket", ticket_id)
        room = await self.read(live_id) if live_id else None
        return room if room and ticket_id in room.tickets else None

    async def load(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        """Load the room without its log, with the memberships of `user_ids`.

        Loads that are asked for at the same time are one query.
        """
        return await self._loads.get((live_id, tuple(user_ids), next(self._load_numbers)))

    async def _load_many(self, keys: Sequence[Any]) -> dict[Hashable, Room | Exception]:
        live_ids = [*{live_id for live_id, _, _ in keys}]
        steps: list[Document] = [
            {"$match": {"_id": {"$in": live_ids}}},
            {"$unset": [*UNREAD]},
            {"$set": {"read_at": {"$toLong": "$$NOW"}}},
        ]
        if user_ids := [*{user_id for _, ids, _ in keys for user_id in ids}]:
            members = [{"$match": {"_id": {"$in": user_ids}}}]
            steps.append({"$unionWith": {"coll": "members", "pipeline": members}})
        rooms: dict[int, Document] = {}
        members_by_id: dict[str, Document] = {}
        async for row in await self._rooms.aggregate(steps):
            (members_by_id if isinstance(row["_id"], str) else rooms)[row["_id"]] = row
        loaded: dict[Hashable, Room | Exception] = {}
        for key in keys:
            live_id, ids, _ = key
            if live_id in rooms:
                found = [members_by_id[user_id] for user_id in ids if user_id in members_by_id]
                loaded[key] = parsed({**rooms[live_id], "members": found}, room_from)
        return loaded

    async def commit(self, batch: WriteBatch) -> None:
        """Write a batch atomically, with those of other rooms that are saved at the same time.

        A single write needs no transaction. Raises WriteConflict if the room or a membership has
        changed since it was loaded.
        """
        await self._commits.commit(batch)

    async def log_since(self, live_id: int, epoch: str, seq: int) -> Sequence[NumberedEvent] | None:
        """Return all events of a live session after `seq`, in order.

        Returns None if the log lacks some, or if those of a deleted user were emptied. Callers at
        the same time share a read that begins after their calls: clients that reconnect together
        have mostly missed the same events. Raises StorageUnavailable after LOG_QUEUE_SECONDS in
        which CONCURRENT_LOG_READS others have not ended.
        """
        return await self._log_reads.get(live_id, epoch, seq)

    async def _read_events_since(
        self, live_id: int, epoch: str, seq: int
    ) -> Sequence[NumberedEvent] | None:
        slots = [f"log.{n % LOG_SIZE}" for n in range(seq + 1, seq + 1 + TAIL_EVENTS)]
        try:
            async with self._log_readers:
                room = await self._read_log(live_id, *slots)  # usually, one or two are missing
                if room and room["epoch"] == epoch and seq + TAIL_EVENTS < room["version"]:
                    room = await self._read_log(live_id, "log")
        except TryAgain:
            raise StorageUnavailable from None  # MongoDB does not answer those before this read
        if room is None or room["epoch"] != epoch:
            return None
        oldest = room["version"] - min(room["version"], LOG_SIZE)
        if not oldest <= seq <= room["version"]:
            return None
        rows = [room["log"][str(n % LOG_SIZE)] for n in range(seq + 1, room["version"] + 1)]
        if any(row["data"] is None for row in rows):
            return None
        return [
            NumberedEvent(epoch, row["seq"], row["ts"], row["type"], row["data"]) for row in rows
        ]

    async def _read_log(self, live_id: int, *fields: str) -> Document | None:
        projection = {"epoch": 1, "version": 1, **dict.fromkeys(fields, 1)}
        return await self._rooms.find_one({"_id": live_id}, projection)

    async def versions(self, live_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Return (epoch, version) by live_id, in one query."""
        found = self._rooms.find({"_id": {"$in": list(live_ids)}}, {"epoch": 1, "version": 1})
        return {row["_id"]: (row["epoch"], row["version"]) async for row in found}

    async def due(self, now: int) -> list[int]:
        """Return the rooms with an expired application, invitation, ticket or mute; `now` in ms."""
        found = self._rooms.find({"due_at": {"$lte": now}}, {"_id": 1})
        return [row["_id"] async for row in found]

    async def live(self, live_ids: Sequence[int]) -> list[Room]:
        """Return those of the rooms that are live or paused, the most recently started first."""
        running = {"_id": {"$in": [*live_ids]}, "status": {"$in": ["live", "paused"]}}
        found = self._rooms.find(running, dict.fromkeys(UNREAD, 0))
        return [room_from(row) async for row in found.sort([("started_at", -1), ("_id", -1)])]

    async def dates(self, live_id: int) -> list[Document]:
        """Return the dates of the present or last live, in their order; times in ms."""
        row = await self._rooms.find_one({"_id": live_id}, {"dates": 1})
        return row["dates"] if row else []


def room_from(document: Document) -> Room:
    """Return the room of a document, with which it shares what rules replace and never change."""
    plain = {name: document[name] for name in _PLAIN if name in document}
    return Room(
        live_id=document["_id"],
        owner=_with_person(Seat, document["owner"]),
        male=_with_person(Seat, document["male"]),
        female=_with_person(Seat, document["female"]),
        applications={
            user_id: _with_person(Application, row)
            for user_id, row in document["applications"].items()
        },
        deputies=tuple(document.get("deputies", ())),
        tickets={id_: _ticket(row) for id_, row in document.get("tickets", {}).items()},
        members={row["_id"]: member_from(row) for row in document.get("members", ())},
        read_at=int(document.get("read_at", 0)),
        **plain,
    )


def add_room_writes(room: Room, events: Sequence[NumberedEvent], batch: WriteBatch) -> None:
    """Add the changes of the room and of memberships, guarded by both as they were loaded."""
    if changes := _changes(room, events):
        # A new group, name or picture of a room that is not live changes neither epoch nor version.
        names = ("epoch", "version", "group_id", "title", "cover")
        guard = {"_id": room.live_id, **{name: getattr(room.loaded, name) for name in names}}
        guard["revision"] = room.loaded.revision or {"$in": [0, None]}  # None: of an older server
        batch.update("rooms", guard, changes)
    add_membership_writes(room, batch)


def _changes(room: Room, events: Sequence[NumberedEvent]) -> Document:
    """Return the update from the room as it was loaded to this one, {} if nothing changed."""
    sets, unsets = _differences(room)
    if not (sets or unsets or events):
        return {}
    if "epoch" in sets:
        sets |= {"log": {}, "dates": []}
    sets["version"] = room.version + len(events)
    for event in events:
        row = {"seq": event.seq, "ts": event.ts, "type": event.type, "data": event.data}
        sets[f"log.{event.seq % LOG_SIZE}"] = row
    if room.date_changes:
        for number, fields in date_fields(room.date_changes, events[-1].ts).items():
            sets |= {f"dates.{number}.{name}": value for name, value in fields.items()}
    expiries = [application.expires_at for application in room.applications.values()]
    expiries += room.muted.values()
    expiries += [ticket.expires_at for ticket in room.tickets.values()]
    (sets if expiries else unsets)["due_at"] = min(expiries, default="")  # the index is sparse
    return {"$set": sets, **({"$unset": unsets} if unsets else {})}


def _differences(room: Room) -> tuple[Document, Document]:
    """Return the fields, and entries of maps, to set and to unset.

    Entries are saved one by one, since changes without an event may be saved at the same time.
    """
    sets: Document = {}
    unsets: Document = {}
    for name in _MAPS:
        new = getattr(room, name)
        users = differing(getattr(room.loaded, name), new)
        sets |= {f"{name}.{user}": _stored(new[user]) for user in users if user in new}
        unsets |= {f"{name}.{user}": "" for user in users if user not in new}
    for name in _VALUES:
        new, old = getattr(room, name), getattr(room.loaded, name)
        if new is not old and new != old:
            sets[name] = _stored(new)
    return sets, unsets


def _stored(value: Any) -> Any:
    if isinstance(value, Seat | Application):
        return {**fields_of(value), "person": fields_of(value.person)}
    return fields_of(value) if isinstance(value, Ticket) else value


_MAPS = (
    "applications",
    "bans",
    "operator_bans",
    "muted",
    "deputy_mutes",
    "needs_invitation_until",
    "invited_by_message_until",
    "stream_bans",
    "tickets",
)
"""Fields whose entries are saved one by one."""
_VALUES = frozenset(RoomState.__slots__) - {"live_id", "version", "members", *_MAPS}
"""Fields that are saved as a whole."""
_PARSED = {"owner", "male", "female", "applications", "deputies", "tickets"}
_PLAIN = {"version", *_VALUES, *_MAPS} - _PARSED
"""Fields that are stored as they are."""


def _ticket(document: Document) -> Ticket:
    return Ticket(**{**known_fields(Ticket, document), "takers": tuple(document["takers"])})


def _with_person(kind: type[Any], document: Document | None) -> Any:
    """Return a seat or an application; None for an empty seat."""
    if document is None:
        return None
    person = Person(**known_fields(Person, document["person"]))
    return kind(**{**known_fields(kind, document), "person": person})
