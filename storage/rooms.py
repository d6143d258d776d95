"""rooms: one document per room, holding its state, its version and its last 256 events."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import structlog
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from rooms.events import LAST, Numbered
from rooms.keeper import Also, Raced
from rooms.people import Member, Person
from rooms.room import Application, Room, Seat
from storage.counters import Counters
from storage.database import Collection, Database, Document, Session
from storage.errands import Errands
from storage.loader import Loader
from storage.members import Members, member_from

log = structlog.get_logger("qlive.storage")

LOG = 256
"""Events kept per room. A ring set by name: `$push` with `$slice` writes the whole array into
the oplog (30 KB a change measured, the ring 0.7 KB)."""


FEW = 16
"""Events read without the rest of the log: 300 rooms in 0.10 s instead of 0.37 s measured."""


class Rooms:
    """The keeper's store: rooms, and with them the places of those whom a change concerns."""

    def __init__(
        self,
        database: Database,
        members: Members,
        counters: Counters,
        errands: Errands,
        *,
        drops_streams: bool,
    ) -> None:
        """`drops_streams`: Tencent is told of every stream that nobody is to push any more."""
        self._database = database
        self._rooms: Collection = database.collection("rooms")
        self._users: Collection = database.collection("users")
        self._members = members
        self._counters = counters
        self._errands = errands
        self._by_id = Loader(self._rooms, room_from, but="log")
        self.drops_streams = drops_streams

    async def make_indexes(self) -> None:
        await self._rooms.create_index("host_id", unique=True)
        await self._rooms.create_index([("status", 1), ("started_at", -1)])
        await self._rooms.create_index("due_at", sparse=True)

    async def of_host(self, host: Person) -> tuple[int, str, bool]:
        """The host's one room, made when there is none: (live_id, group_id, group is ready)."""
        document = await self._rooms.find_one({"host_id": host.user_id}, {"log": 0})
        if document is None:
            document = await self._create(host)
        return document["_id"], document["group_id"], document["group_ready"]

    async def group_made(self, live_id: int) -> None:
        await self._rooms.update_one({"_id": live_id}, {"$set": {"group_ready": True}})

    async def drop_group(self, host_id: str) -> str | None:
        """Forget the IM group of a host's room, and name the next one anew; the forgotten one."""
        name = f"-{secrets.token_hex(4)}"
        room = await self._rooms.find_one_and_update(
            {"host_id": host_id, "group_ready": True},
            [
                {
                    "$set": {
                        "group_ready": False,
                        "group_id": {"$concat": ["qlive", {"$toString": "$_id"}, name]},
                    }
                }
            ],
        )
        return room["group_id"] if room else None

    async def read(self, live_id: int) -> Room | None:
        """The room to be looked at, without anybody's place: others look at the same."""
        return await self._by_id.get(live_id)

    async def load(self, live_id: int, people: Sequence[str] = ()) -> Room | None:
        """One read: the room without its log, with the places of `people`."""
        if not people:
            document = await self._rooms.find_one({"_id": live_id}, {"log": 0})
            return room_from(document) if document else None
        wanted = [{"$match": {"_id": {"$in": list(people)}}}]
        steps: list[Document] = [
            {"$match": {"_id": live_id}},
            {"$unset": "log"},
            {"$lookup": {"from": "members", "pipeline": wanted, "as": "members"}},
        ]
        found = await self._rooms.aggregate(steps)
        async for document in found:
            return room_from(document)
        return None

    async def save(self, room: Room, told: Sequence[Numbered], also: Also | None) -> None:
        """One guarded write: state and events together, places and `also` in its transaction."""
        changes = _changes(room, told)
        places = (
            len(room.joined) + len(room.gone) + len((room.held | room.roles.keys()) - room.gone)
        )
        ending = bool(told) and told[-1].type == LAST
        alone = places + bool(changes) == 1 and not (ending or room.dropped)
        if also is None and alone:
            await self._write(room, changes, None)
            return

        async def together(session: Session) -> None:
            await self._write(room, changes, session)
            if ending:
                await self._add_time(room, told, session)
            for stream in room.dropped if self.drops_streams else ():
                await self._errands.add("drop_stream", {"stream": stream}, session)
            if also:
                await also(session, room)

        await self._database.transaction(together)

    async def clear(self, live_id: int, epoch: str) -> None:
        """Tidying: places in a life that is over are none already, so a failure may wait."""
        try:
            await self._members.clear(live_id, epoch)
        except PyMongoError as error:
            log.warning("places_left", live_id=live_id, error=type(error).__name__)

    async def place_of(self, user_id: str) -> Member | None:
        return await self._members.get(user_id)

    async def log_since(self, live_id: int, epoch: str, seq: int) -> list[Numbered] | None:
        """All events of this life after `seq`, in order; None when it no longer has them all."""
        few = [f"log.{n % LOG}" for n in range(seq + 1, seq + 1 + FEW)]
        room = await self._read_log(live_id, *few)  # as a rule it is the last one or two
        if room and room["epoch"] == epoch and seq + FEW < room["version"]:
            room = await self._read_log(live_id, "log")
        if room is None or room["epoch"] != epoch:
            return None
        oldest = room["version"] - min(room["version"], LOG)
        if not oldest <= seq <= room["version"]:
            return None
        numbers = range(seq + 1, room["version"] + 1)
        return [numbered_from(epoch, room["log"][str(n % LOG)]) for n in numbers]

    async def _read_log(self, live_id: int, *fields: str) -> Document | None:
        wanted = {"epoch": 1, "version": 1, **dict.fromkeys(fields, 1)}
        return await self._rooms.find_one({"_id": live_id}, wanted)

    async def versions(self, live_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
        """(epoch, version) of these rooms, in one query."""
        found = self._rooms.find({"_id": {"$in": list(live_ids)}}, {"epoch": 1, "version": 1})
        return {row["_id"]: (row["epoch"], row["version"]) async for row in found}

    async def due(self, now: int) -> list[int]:
        """Rooms in which an application or invitation has run out; `now` in ms."""
        found = self._rooms.find({"due_at": {"$lte": now}}, {"_id": 1})
        return [row["_id"] async for row in found]

    async def live(self) -> list[Room]:
        """All rooms that are live, newest first."""
        found = self._rooms.find({"status": {"$in": ["live", "paused"]}}, {"log": 0})
        return [room_from(row) async for row in found.sort([("started_at", -1), ("_id", -1)])]

    async def _create(self, host: Person) -> Document:
        live_id = await self._counters.next("live_id")
        document: Document = {
            "group_id": f"qlive{live_id}",
            "group_ready": False,
            "cover": "",
            "epoch": "",
            "version": 0,
            "status": "ended",
            "started_at": 0,
            "owner": _seat_to(Seat(host, "")),
            "male": None,
            "female": None,
            "applications": {},
            "blocked": {},
            "log": {},
        }
        try:
            made = await self._rooms.find_one_and_update(
                {"host_id": host.user_id},
                {"$setOnInsert": {"_id": live_id, **document}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # two first entries at once: the other one made it
            made = await self._rooms.find_one({"host_id": host.user_id})
        assert made is not None
        return made

    async def _write(self, room: Room, changes: Document, session: Session | None) -> None:
        if changes:
            found = await self._rooms.update_one(
                {"_id": room.live_id, "epoch": room.loaded[0], "version": room.loaded[1]},
                changes,
                session=session,
            )
            if not found.matched_count:
                raise Raced
        await self._members.write(room, session)

    async def _add_time(self, room: Room, told: Sequence[Numbered], session: Session) -> None:
        seconds = room.lasted(told[-1].ts)
        await self._users.update_one(
            {"_id": room.host_id}, {"$inc": {"continuous_time": seconds}}, session=session
        )


def room_from(document: Document) -> Room:
    owner = _seat_from(document["owner"])
    assert owner is not None
    return Room(
        live_id=document["_id"],
        group_id=document["group_id"],
        cover=document["cover"],
        owner=owner,
        epoch=document["epoch"],
        version=document["version"],
        status=document["status"],
        started_at=document["started_at"],
        applications={key: _application_from(it) for key, it in document["applications"].items()},
        blocked=document.get("blocked", {}),
        members={row["_id"]: member_from(row) for row in document.get("members", ())},
        male=_seat_from(document["male"]),
        female=_seat_from(document["female"]),
    )


def numbered_from(epoch: str, row: Document) -> Numbered:
    return Numbered(epoch, row["seq"], row["ts"], row["type"], row["data"])


def _changes(room: Room, told: Sequence[Numbered]) -> Document:
    """The update that takes the stored room to this one, or {} when it is the same."""
    sets: Document = {}
    unsets: Document = {}
    for name in room.touched:
        head, _, user_id = name.partition(".")
        if user_id and head in room.touched:
            continue  # the whole map is written
        if head == "applications":
            _change_applications(room, user_id, sets, unsets)
        elif head == "blocked" and user_id:
            _change_blocked(room, user_id, sets, unsets)
        else:
            value = getattr(room, name)
            sets[name] = _seat_to(value) if isinstance(value, Seat) else value
    if not (sets or unsets or told):
        return {}
    if "epoch" in room.touched:
        sets["log"] = {}
    sets["version"] = room.version + len(told)
    for event in told:
        sets[f"log.{event.seq % LOG}"] = _log_row(event)
    _set_due(room, sets, unsets)
    return {"$set": sets, **({"$unset": unsets} if unsets else {})}


def _change_applications(room: Room, user_id: str, sets: Document, unsets: Document) -> None:
    if not user_id:
        sets["applications"] = {k: asdict(it) for k, it in room.applications.items()}
    elif asked := room.applications.get(user_id):
        sets[f"applications.{user_id}"] = asdict(asked)
    else:
        unsets[f"applications.{user_id}"] = ""


def _change_blocked(room: Room, user_id: str, sets: Document, unsets: Document) -> None:
    if user_id in room.blocked:
        sets[f"blocked.{user_id}"] = room.blocked[user_id]
    else:
        unsets[f"blocked.{user_id}"] = ""


def _set_due(room: Room, sets: Document, unsets: Document) -> None:
    if room.applications:
        sets["due_at"] = min(asked.expires_at for asked in room.applications.values())
    else:
        unsets["due_at"] = ""


def _log_row(event: Numbered) -> Document:
    return {"seq": event.seq, "ts": event.ts, "type": event.type, "data": event.data}


def _seat_to(seat: Seat) -> Document:
    return asdict(seat)


def _seat_from(document: Any) -> Seat | None:
    if document is None:
        return None
    return Seat(_person_from(document["person"]), document["stream"], document.get("away", False))


def _application_from(document: Document) -> Application:
    names = ("n", "applied_at", "invited", "expires_at")
    fields = {name: document[name] for name in names}
    return Application(person=_person_from(document["person"]), **fields)


def _person_from(document: Document) -> Person:
    """What a later version stores besides is no business of this one."""
    return Person(**{name: document[name] for name in Person.__slots__ if name in document})
