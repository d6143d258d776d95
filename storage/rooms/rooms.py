"""rooms: one document per room, with its state, version and last 256 events."""

import itertools
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog
from pymongo.errors import PyMongoError

from core.batching import BatchLoader, SingleFlight, parsed
from core.errors import TryAgain, WriteConflict
from core.limits import ConcurrencyLimit
from core.retry import retry_on_conflict
from rooms.dates import date_changes
from rooms.events import LAST_EVENT_TYPE, LOG_SIZE, NewEvent, NumberedEvent
from rooms.members import Member, Person
from rooms.room import Room
from rooms.state import Application, RoomState, Seat
from rooms.tickets import Ticket
from rooms.webhooks import room_webhooks
from storage.accounts.matches import PairStore
from storage.accounts.notices import LiveNoticeStore
from storage.chat import live_id_of, new_group_id
from storage.database import Collection, Database, Document
from storage.documents import documents_by_id, fields_of, known_fields
from storage.errors import StorageUnavailable
from storage.identities import IdentityStore
from storage.jobs.outbox import RENEW_PRIVATE, OutboxStore
from storage.rooms.lives import LiveStore
from storage.rooms.members import MemberStore, add_membership_writes, member_from
from storage.user_channels import UserChannelStore
from storage.webhooks.payloads import OfRoom
from storage.webhooks.webhooks import WebhookStore
from storage.write_batch import GroupCommit, WriteBatch

log = structlog.get_logger("qlive.storage")

T = TypeVar("T")

CONCURRENT_LOG_READS = 16
"""Logs read at the same time. After a kill, clients of hundreds of rooms ask for them at once, more
than the connections that there may be (storage/database.py)."""
LOG_QUEUE_SECONDS = 2.5
"""Longest wait of such a read for others; the relay to IM renews its lease after two messages and
the reads before them (services/chat/im_relay.py)."""
TAIL_EVENTS = 16
"""Events read without the rest of the log (measured: 300 rooms in 0.10 s instead of 0.37 s)."""


class RoomStore:
    """Rooms, and the memberships that a change concerns, under an optimistic lock."""

    def __init__(
        self,
        database: Database,
        members: MemberStore,
        outbox: OutboxStore,
        channels: UserChannelStore,
        webhooks: WebhookStore,
        pairs: PairStore,
        lives: LiveStore,
        live_notices: LiveNoticeStore,
    ) -> None:
        self._database = database
        self._identities = IdentityStore(database)
        self._pairs, self._lives = pairs, lives
        self._channels = channels
        self._webhooks = webhooks
        self._live_notices = live_notices
        self._rooms: Collection = database.collection("rooms")
        self._members = members
        self._outbox = outbox
        self._by_id = documents_by_id(self._rooms, room_from, exclude="log")
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
        created |= {"_id": live_id, "version": 0, "group_ready": False, "log": {}}

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
            {"$unset": "log"},
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

    async def save(
        self,
        room: Room,
        events: Sequence[NumberedEvent],
        add_writes: Sequence[Callable[[WriteBatch], None]] = (),
    ) -> None:
        """Save state, events and memberships, and what `add_writes` add, atomically.

        Rooms that are saved at the same time share a transaction; a single write needs none. Raises
        WriteConflict if the room, a membership or a pair on mic has changed since it was loaded.
        """
        batch = WriteBatch()
        add_room_writes(room, events, batch)
        dates = date_changes(room.loaded, events)
        self._lives.add_writes(room, events, dates, batch)
        await self._pairs.add_dates(batch, dates, room.live_id, room.epoch)
        if events and events[-1].type == LAST_EVENT_TYPE:
            lived = {"$inc": {"continuous_time": room.lasted(events[-1].ts)}}
            batch.update_if_present("users", {"_id": room.host_id}, lived)
        self._live_notices.add_to(batch, room)
        self._add_messages(room, batch)
        self._add_tickets(room, batch)
        for user_id, event in room.user_events:
            self._channels.add_to(batch, user_id, event)
        for user_id in _moved_users(room):
            batch.after_commit.append(partial(self._channels.changed, user_id, "where"))
        for add in add_writes:
            add(batch)
        await self._add_webhooks(room, events, batch)
        if len(batch):
            await self._commits.commit(batch)

    def _add_messages(self, room: Room, batch: WriteBatch) -> None:
        """Add what Tencent must be told of the change."""
        for stream, user_id in room.streams_to_drop.items():
            # Those that were taken away are cut first. Given up ones, which their users stop by
            # themselves, are joined to one message per user when they are sent.
            payload = {"streams": [stream]}
            self._outbox.add_to(batch, "drop_stream", payload, urgent=not user_id, key=user_id)
        if room.must_renew and room.live:
            renewal, key = {"live_id": room.live_id}, str(room.live_id)
            self._outbox.add_to(batch, RENEW_PRIVATE, renewal, urgent=True, key=key)
        for group_id in room.groups_to_destroy:
            self._outbox.add_to(batch, "destroy_group", {"group_id": group_id}, urgent=True)
        for target in _changed_mutes(room):
            self._outbox.add_to(batch, "mute", {**target, "live_id": room.live_id}, urgent=True)

    def _add_tickets(self, room: Room, batch: WriteBatch) -> None:
        """Add the names and the pictures of new and of ended tickets."""
        for ticket_id in room.tickets.keys() ^ room.loaded.tickets.keys():
            # Of a new one, before there is a picture, which no failure then leaves behind.
            ended, new = room.loaded.tickets.get(ticket_id), room.tickets.get(ticket_id)
            if new:
                self._identities.add_to(batch, "ticket", ticket_id, room.live_id)
            else:
                self._identities.drop_in(batch, "ticket", ticket_id)
            if new and new.picture:
                self._outbox.add_deletion_to(batch, new.picture, timedelta(minutes=new.minutes + 1))
            elif ended and ended.picture:
                self._outbox.add_deletion_to(batch, ended.picture, timedelta())

    async def _add_webhooks(
        self, room: Room, events: Sequence[NumberedEvent], batch: WriteBatch
    ) -> None:
        """Add what webhooks send of the change; only then the audience is read."""
        outgoing = room_webhooks(room, events)
        if await self._webhooks.wants(outgoing):
            audience = (await self._members.count(room.live_id, room.epoch)).audience
            shown = OfRoom(
                live_id=room.live_id, epoch=room.epoch, title=room.name, audience=audience
            )
            about_room = [NewEvent(event.type, {**shown, **event.data}) for event in outgoing]
            await self._webhooks.add_to(batch, *about_room)

    async def clear(self, live_id: int, epoch: str) -> None:
        """Delete the memberships of an ended live session, and complete its report.

        A failure is only logged: since their epoch has ended, they are already invalid.
        """
        try:
            counts = await self._members.count(live_id, epoch)
            await self._lives.note_audiences({epoch: counts.audience - 1})
            await self._members.clear(live_id, epoch)
            await self._lives.complete(epoch)
        except PyMongoError as error:
            log.warning("memberships_cleanup_failed", live_id=live_id, error=type(error).__name__)

    async def member_numbers(self, live_id: int) -> dict[str, int]:
        """Return the number of members, the host included, of each live of the room."""
        return await self._members.numbers(live_id)

    async def membership_of(self, user_id: str) -> Member | None:
        return await self._members.get(user_id)

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

    async def live(self) -> list[Room]:
        """Return all live or paused rooms, the most recently started first."""
        running = {"_id": {"$in": await self._lives.running()}}
        found = self._rooms.find({**running, "status": {"$in": ["live", "paused"]}}, {"log": 0})
        return [room_from(row) async for row in found.sort([("started_at", -1), ("_id", -1)])]


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
        sets["log"] = {}
    sets["version"] = room.version + len(events)
    for event in events:
        row = {"seq": event.seq, "ts": event.ts, "type": event.type, "data": event.data}
        sets[f"log.{event.seq % LOG_SIZE}"] = row
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
        differing = _differing(getattr(room.loaded, name), new)
        sets |= {f"{name}.{user}": _stored(new[user]) for user in differing if user in new}
        unsets |= {f"{name}.{user}": "" for user in differing if user not in new}
    for name in _VALUES:
        if (new := getattr(room, name)) != getattr(room.loaded, name):
            sets[name] = _stored(new)
    return sets, unsets


def _moved_users(room: Room) -> set[str]:
    """Return the users who have entered the live or left it."""
    before, after = (
        {(member.user_id, member.epoch) for member in members.values()}
        for members in (room.loaded.members, room.members)
    )
    return {user_id for user_id, _ in before ^ after}


def _changed_mutes(room: Room) -> list[dict[str, str]]:
    """Return the users whose ban or mute has changed, and {} if the mute of all has changed."""
    loaded = room.loaded
    if room.epoch != loaded.epoch:
        return []  # bans that have ended by themselves
    users = {*_differing(loaded.bans, room.bans), *_differing(loaded.muted, room.muted)}
    everybody: list[dict[str, str]] = [{}] if room.mute_all != loaded.mute_all else []
    return [{"user_id": user_id} for user_id in sorted(users)] + everybody


def _differing(old: Mapping[str, T], new: Mapping[str, T]) -> list[str]:
    """Return the users whose entry was added, replaced or removed."""
    if old is new:
        return []
    return [user_id for user_id in old.keys() | new.keys() if old.get(user_id) != new.get(user_id)]


def _stored(value: Any) -> Any:
    if isinstance(value, Seat | Application):
        return {**fields_of(value), "person": fields_of(value.person)}
    return fields_of(value) if isinstance(value, Ticket) else value


_MAPS = (
    "applications",
    "bans",
    "operator_bans",
    "muted",
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
