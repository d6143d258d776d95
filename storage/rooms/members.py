"""members: one document per user who is in a room; `_id` is the user_id."""

from collections.abc import Awaitable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from core.batching import BatchLoader
from core.clock import now_ms
from rooms.errors import GenderInUse
from rooms.members import Member, MemberCounts, Role
from rooms.room import Room
from rooms.state import Application, RoomState, Seat
from storage.database import Collection, Database, Document, Session
from storage.documents import document_of, known_fields
from storage.write_batch import WriteBatch

PAGES_PER_QUERY = 100
"""Pages of viewers in one query; MongoDB allows 1,000 stages."""
_COLUMNS = {1: ("men", "men_applying"), 2: ("women", "women_applying")}


class MemberStore:
    """Memberships; user counts are computed from them and never stored."""

    def __init__(self, database: Database) -> None:
        self._members: Collection = database.collection("members")
        self._rooms: Collection = database.collection("rooms")
        self._by_id = database.joint_reads.by_id("members", member_from)
        self._viewers = BatchLoader(self._load_viewers)
        self._counts: BatchLoader[MemberCounts] = BatchLoader(self._count)

    async def make_indexes(self) -> None:
        await self._members.create_index(
            [("live_id", 1), ("epoch", 1), ("gender", 1), ("role", 1), ("entered_at", 1)]
        )

    def get(self, user_id: str) -> Awaitable[Member | None]:
        return self._by_id.get(user_id)

    def get_many(self, user_ids: Sequence[str]) -> Awaitable[list[Member | None]]:
        return self._by_id.get_many(user_ids)

    async def shared(self, *user_ids: str) -> int | None:
        """Return the live_id of the room that all these users are in; None if there is none.

        They have to be in the same live session.
        """
        members = await self._by_id.get_many(user_ids)
        sessions = {(member.live_id, member.epoch) if member else None for member in members}
        session = sessions.pop()
        return session[0] if session and not sessions else None

    async def clear(self, live_id: int, epoch: str) -> None:
        await self._members.delete_many({"live_id": live_id, "epoch": epoch})

    async def set_gender(self, user_id: str, gender: int, session: Session) -> None:
        """Change the gender. Raises GenderInUse while on mic, applied or invited in a live room."""
        member = await self._members.find_one({"_id": user_id}, session=session)
        if member is None or member["gender"] == gender:
            return
        where = {"_id": member["live_id"], "epoch": member["epoch"], "status": {"$ne": "ended"}}
        # An invitation increments the version of the membership: a concurrent one conflicts with
        # this transaction.
        applied = {f"applications.{user_id}": 1}
        room = await self._rooms.find_one(where, applied, session=session)
        if room and (member["role"] != "viewer" or room["applications"]):
            raise GenderInUse
        change = {"$set": {"gender": gender}, "$inc": {"version": 1}}
        await self._members.update_one({"_id": user_id}, change, session=session)

    async def viewers(
        self, live_id: int, epoch: str, gender: int, skip: int, limit: int
    ) -> list[str]:
        """Return user_ids of the viewers of one gender, by time of entry."""
        return await self._viewers.get((live_id, epoch, gender, skip, limit)) or []

    async def _load_viewers(self, pages: Sequence[Any]) -> dict[Hashable, list[str] | Exception]:
        """Read pages of several rooms, PAGES_PER_QUERY of them by one query."""
        found: dict[Any, list[str]] = {page: [] for page in pages}
        for start in range(0, len(pages), PAGES_PER_QUERY):
            batch = pages[start : start + PAGES_PER_QUERY]
            first, *others = (_viewers_steps(number, *page) for number, page in enumerate(batch))
            unions = [{"$unionWith": {"coll": "members", "pipeline": steps}} for steps in others]
            async for row in await self._members.aggregate([*first, *unions]):
                found[batch[row["page"]]].append(row["_id"])
        return {**found}

    async def list_members(self, live_id: int, epoch: str, after: str, limit: int) -> list[Member]:
        """Return members by user_id, starting after the user_id `after`."""
        where = {"live_id": live_id, "epoch": epoch, "_id": {"$gt": after}}
        rows = await self._members.find(where).sort("_id", 1).to_list(limit)
        return [member_from(row) for row in rows]

    async def count(self, live_id: int, epoch: str) -> MemberCounts:
        """Return the user counts of a live session, read after the call.

        Concurrent calls share the query.
        """
        counts = await self._counts.get((live_id, epoch))
        assert counts is not None
        return counts

    async def counts(self, sessions: Iterable[tuple[int, str]]) -> dict[int, MemberCounts]:
        """Return user counts of the live sessions (live_id, epoch), by live_id, in one query."""
        counts = await self._count([*sessions])
        return {live_id: numbers for (live_id, _), numbers in counts.items()}

    async def numbers(self, live_id: int) -> dict[str, int]:
        """Return the number of members, the host included, of each live of a room, by epoch."""
        steps: list[Document] = [
            {"$match": {"live_id": live_id}},
            {"$group": {"_id": "$epoch", "n": {"$sum": 1}}},
        ]
        return {row["_id"]: row["n"] async for row in await self._members.aggregate(steps)}

    async def _count(self, sessions: Sequence[Any]) -> dict[Any, MemberCounts]:
        rooms = {
            "live_id": {"$in": [live_id for live_id, _ in sessions]},
            "epoch": {"$in": [epoch for _, epoch in sessions]},
        }
        key = {"live_id": "$live_id", "epoch": "$epoch", "gender": "$gender", "role": "$role"}
        rows = await self._members.aggregate(
            [{"$match": rooms}, {"$group": {"_id": key, "n": {"$sum": 1}}}]
        )
        tally: dict[tuple[int, str], dict[str, int]] = {session: {} for session in sessions}
        async for row in rows:
            group = row["_id"]
            # With several sessions, pairs that were not asked for may match, too.
            numbers = tally.get((group["live_id"], group["epoch"]))
            if numbers is None or group["role"] == "host":
                continue
            total, applying = _COLUMNS.get(group["gender"], ("others", ""))
            numbers[total] = numbers.get(total, 0) + row["n"]
            if group["role"] == "applied":
                numbers[applying] = numbers.get(applying, 0) + row["n"]
        return {session: MemberCounts(**numbers) for session, numbers in tally.items()}


def add_membership_writes(room: Room, batch: WriteBatch) -> None:
    """Add the membership changes of `room`, guarded by the memberships as it was loaded."""
    loaded, members = room.loaded.members, room.members
    written = set()
    for user_id, member in members.items():
        old = loaded.get(user_id)
        if member is old:
            continue
        if old is None or replace(old, role=member.role) != member:
            written.add(user_id)
            document = {**document_of(member, "user_id"), "seen_at": member.entered_at}
            if old and old.live_id == room.live_id:  # from an earlier live session
                batch.replace("members", _as_loaded(old), document)
            else:
                batch.insert("members", document)
    for user_id, old in loaded.items():
        if user_id not in members and old.live_id == room.live_id:
            written.add(user_id)
            batch.delete("members", _as_loaded(old))
    for user_id in _moved(room) - written:
        _move(room, user_id, batch)


def _as_loaded(member: Member) -> Document:
    return {"_id": member.user_id, "epoch": member.epoch, "version": member.version}


def _move(room: Room, user_id: str, batch: WriteBatch) -> None:
    """Write the role of a user whose seat or application has changed.

    If the membership is loaded, it must be as loaded, even if the role is kept. A user who leaves
    meanwhile must not be invited, and one who comes back meanwhile must not be shown as away.
    """
    member = room.loaded.members.get(user_id)
    where: Document = {"_id": user_id, "live_id": room.live_id, "epoch": room.epoch}
    change: Document = {"$inc": {"version": 1}}
    role, stream = _role_and_stream(room, user_id)
    if (role, stream) != _role_and_stream(room.loaded, user_id):
        change |= _new_role(role, member, now_ms())
    if member:
        batch.update("members", {**where, "version": member.version}, change)
    elif "$set" in change:
        batch.update_if_present("members", where, change)


def _moved(room: Room) -> set[str]:
    """Return the users with another seat or application, a new stream ban or a new deputyship."""
    if not room.live:
        return set()  # the memberships end with the live
    before, after = room.loaded.places, room.places
    users = before.keys() | after.keys()
    moved = {user_id for user_id in users if _differ(before.get(user_id), after.get(user_id))}
    # A seat must not be taken while the stream is being forbidden.
    bans, earlier = room.stream_bans, room.loaded.stream_bans
    moved |= {user_id for user_id in bans if bans[user_id] != earlier.get(user_id)}
    # A user who is being removed or banned must not be made a deputy.
    return moved | ({*room.deputies} - {*room.loaded.deputies})


def _differ(old: Seat | Application | None, new: Seat | Application | None) -> bool:
    """Return whether these places differ in more than the profile that they show."""
    if old is new or old is None or new is None:
        return old is not new
    return replace(old, person=new.person) != new


def _role_and_stream(state: RoomState, user_id: str) -> tuple[Role, str]:
    seat = state.seat_of(user_id)
    return state.shown_role(user_id), seat.stream if seat else ""


def _new_role(role: Role, member: Member | None, now: int) -> Document:
    """Return the update to the new role; due at once, since its grace period differs.

    Applying for or taking a seat restarts the grace period of an absent member. The state of an
    earlier stream is cleared.
    """
    fields: Document = {"role": role, "stream": None}
    if role == "viewer" or member is None or member.away_at is None:
        return {"$set": fields, "$min": {"due_at": now}}
    return {"$set": {**fields, "away_at": now, "due_at": now}}


def _viewers_steps(
    number: int, live_id: int, epoch: str, gender: int, skip: int, limit: int
) -> list[Document]:
    """Return stages that read a page of viewers, each with the number of the page."""
    where = {"live_id": live_id, "epoch": epoch, "gender": gender, "role": "viewer"}
    return [
        {"$match": where},
        {"$sort": {"entered_at": 1, "_id": 1}},
        {"$skip": skip},
        {"$limit": limit},
        {"$project": {"page": {"$literal": number}}},
    ]


def member_from(document: Document) -> Member:
    fields = known_fields(Member, document)
    if fields.get("stream"):
        fields["stream"] = {**fields["stream"]}  # rooms of one query share the document
    return Member(**{**fields, "user_id": document["_id"]})
