"""members and processes: connection state of members, and leases of processes.

`process` serves the member's connection, `socket` is the number of the newest socket, `away_at`
(ms) is when the connection was lost, `due_at` (ms) when the absence is next evaluated. Leases use
the database's clock, which all processes share.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from pymongo import UpdateOne

from core.batching import BatchLoader, RequestBatcher, parsed
from core.errors import TryAgain
from rooms.members import (
    ACTIVITY_INTERVAL_MS,
    ON_MIC,
    GracePolicy,
    Member,
    MemberSocket,
    StreamState,
)
from storage.database import Collection, Database, Document
from storage.documents import change_one, make_partial_index
from storage.migrations import SCHEMA
from storage.rooms.members import member_from

CLAIM_MS = 5_000
"""How long a process holds its claim on a due member, before another may claim it."""
LEASE_TTL_SECONDS = 3_600
"""TTL of a lease after its expiry."""
BULK_SIZE = 500
"""Memberships updated by one command, well within its timeout."""
Registration = tuple[tuple[str, int, str], int]
"""A new socket of (user_id, live_id, process), and the time (ms)."""


class PresenceStore:
    """Connection state of members, and the leases of the processes that serve them."""

    def __init__(self, database: Database, grace: GracePolicy) -> None:
        self._members: Collection = database.collection("members")
        self._processes: Collection = database.collection("processes")
        self._grace = grace
        self._registrar: RequestBatcher[Registration, Member | None] = RequestBatcher(
            self._register_sockets, BULK_SIZE
        )
        self._socket_ages = BatchLoader(self._load_socket_ages)

    async def make_indexes(self) -> None:
        await make_partial_index(self._members, "due_at", 0)
        await self._members.create_index([("process", 1), ("seen_at", 1)])
        await self._processes.create_index("expires_at", expireAfterSeconds=LEASE_TTL_SECONDS)

    # ---- members and their sockets

    async def register_socket(
        self, user_id: str, live_id: int, process: str, now: int
    ) -> Member | None:
        """Register a member's new socket and return the membership, whose `socket` is its number.

        None if the user is not a member of this room.

        The number of a member's newest socket is at least the database's time in ms, and so higher
        than that of any earlier socket of the user in this room, even from before the user left and
        re-entered. Sockets that arrive while others are being registered share a bulk write,
        acknowledged by a majority; those of one member get successive numbers. Raises TryAgain if
        the membership changes meanwhile.
        """
        return await self._registrar.submit(0, ((user_id, live_id, process), now))

    async def _register_sockets(
        self, _queue: int, registrations: Sequence[Registration]
    ) -> list[Member | Exception | None]:
        """Register sockets in order, those of one member and process by one update.

        The update stores the newest number; the other sockets get the numbers just below it. They
        get TryAgain if the membership was written again before it was read: the user has
        re-entered, or a socket of another process was registered. Which of the two clients is still
        connected is unknown, so this one connects again instead of being told that it was replaced.
        """
        sockets = Counter(key for key, _ in registrations)
        updates: list[UpdateOne] = []
        for key, now in dict(registrations).items():
            user_id, live_id, process = key
            number = {"$max": [{"$add": ["$socket", sockets[key]]}, {"$toLong": "$$NOW"}]}
            fields = {**self._connected(process, now), "socket": number}
            updates.append(UpdateOne({"_id": user_id, "live_id": live_id}, [{"$set": fields}]))
        await self._members.bulk_write(updates, ordered=False)
        user_ids = {user_id for user_id, _, _ in sockets}
        rows = await self._members.find({"_id": {"$in": [*user_ids]}}).to_list()
        members = {row["_id"]: parsed(row, member_from) for row in rows}
        registered: list[Member | Exception | None] = []
        for key, _ in registrations:
            user_id, live_id, process = key
            sockets[key] -= 1
            member = members.get(user_id)
            if isinstance(member, Member):
                if member.live_id != live_id:
                    member = None
                elif member.process != process:
                    member = TryAgain()
                elif newer := sockets[key]:
                    member = replace(member, socket=member.socket - newer)
            registered.append(member)
        return registered

    async def mark_disconnected(self, sockets: Sequence[MemberSocket]) -> None:
        """Mark members whose newest socket has closed as away; older sockets are ignored."""
        await self._change({socket: self._disconnected(socket.at) for socket in sockets})

    async def claim_members(self, sockets: Sequence[MemberSocket], process: str, now: int) -> None:
        """Store these sockets as connected, e.g. after this process was presumed dead."""
        change = [{"$set": self._connected(process, now)}]
        await self._change(dict.fromkeys(sockets, change))

    async def _change(self, changes: Mapping[MemberSocket, list[Document]]) -> None:
        updates = [
            UpdateOne({**_session(socket), "socket": socket.number}, change)
            for socket, change in changes.items()
        ]
        if updates:
            await self._members.bulk_write(updates, ordered=False)

    async def served(self, process: str) -> list[MemberSocket]:
        found = self._members.find({"process": process}, {"live_id": 1, "epoch": 1, "socket": 1})
        return [
            MemberSocket(row["_id"], row["live_id"], row["epoch"], int(row["socket"]))
            async for row in found
        ]

    async def seen(self, user_id: str, now: int) -> bool:
        """Store a sign of life of a user without a connection; return True if it ends an absence.

        A user who has lost a socket stays away, but the grace period restarts. A user who has never
        had a socket is back.
        """
        lost_socket = {"$and": [{"$ne": ["$away_at", None]}, {"$gt": ["$socket", 0]}]}
        fields = {
            "seen_at": now,
            "away_at": {"$cond": [lost_socket, now, None]},
            "due_at": {"$cond": [lost_socket, _due(now, self._grace), _due_on_mic(now)]},
            "version": {"$add": ["$version", 1]},
        }
        conditions = [{"away_at": {"$ne": None}}, {"seen_at": {"$lt": now - ACTIVITY_INTERVAL_MS}}]
        before = await self._members.find_one_and_update(
            {"_id": user_id, "process": None, "$or": conditions}, [{"$set": fields}]
        )
        if before is None or before["away_at"] is None:
            return False
        return not before["socket"]

    async def socket_age_ms(self, user_id: str) -> int | None:
        """Return the time since the user opened their newest socket; None without one.

        By the database's clock, which numbers the sockets: this process's may be wrong.
        """
        return await self._socket_ages.get(user_id)

    async def _load_socket_ages(self, user_ids: Sequence[Hashable]) -> dict[Hashable, int]:
        age = {"$subtract": [{"$toLong": "$$NOW"}, "$socket"]}
        with_socket = {"_id": {"$in": [*user_ids]}, "socket": {"$gt": 0}}
        rows = await self._members.find(with_socket, {"age": age}).to_list()
        return {row["_id"]: row["age"] for row in rows}

    async def on_mic(self, process: str) -> list[str]:
        found = self._members.find({"process": process, "role": {"$in": list(ON_MIC)}}, {"_id": 1})
        return [row["_id"] async for row in found]

    # ---- due absences

    async def claim(self, now: int) -> Member | None:
        """Claim the member that has been due the longest, for CLAIM_MS; None if none is due."""
        is_due, claimed = {"due_at": {"$gt": 0, "$lte": now}}, {"due_at": now + CLAIM_MS}
        row = await change_one(self._members, is_due, {"$set": claimed}, order="due_at")
        return member_from(row) if row else None

    async def reschedule(self, member: Member, at: int | None) -> None:
        """Make a claimed member due at `at` (ms), or not at all (None).

        Compare-and-swap: a `due_at` written since the claim is kept.
        """
        where = {**_session(member), "due_at": member.due_at}
        await self._members.update_one(where, {"$set": {"due_at": at}})

    async def delete_membership(self, member: Member) -> None:
        await self._members.delete_one(_session(member))

    async def mark_silent_away(self, before: int, now: int) -> None:
        """Mark members without a connection, and not seen since `before` (ms), as away."""
        where = {"process": None, "away_at": None, "seen_at": {"$lte": before}}
        await self._members.update_many(where, self._disconnected(now))

    # ---- reports by Tencent on users without a socket

    async def record_report(
        self, member: Member, *, present: bool, now: int, reported_at: int | None = None
    ) -> bool:
        """Store that a user who has never had a socket has left or come back.

        Returns False if a report not older than `reported_at` (ms) is stored already, or the
        membership has changed.
        """
        where: Document = {**_session(member), "socket": 0}
        fields: Document = {"seen_at": now, "version": {"$add": ["$version", 1]}}
        if reported_at is not None:
            where["$or"] = [{"reported_at": None}, {"reported_at": {"$lt": reported_at}}]
            fields["reported_at"] = reported_at
        if present:
            fields |= {"away_at": None, "due_at": _due_on_mic(now)}
        elif member.away_at is None:
            fields |= {"away_at": now, "due_at": _due(now, self._grace)}
        result = await self._members.update_one(where, [{"$set": fields}])
        return bool(result.matched_count)

    async def record_stream(self, member: Member, stream: StreamState, now: int) -> bool:
        """Store the state of a user's stream by compare-and-swap; return False if it has changed.

        The end of a stream makes the member due, since it ends the doubled grace period.
        """
        change: Document = {"$set": {"stream": stream}}
        if not stream["on"]:
            change["$min"] = {"due_at": now}
        where = {**_session(member), "stream": member.stream}
        result = await self._members.update_one(where, change)
        return bool(result.matched_count)

    # ---- processes

    async def renew(self, process: str, seconds: float) -> bool:
        """Extend the process's lease by `seconds` from now.

        Returns False if it had none or it had expired: other processes may then have presumed this
        one dead. The lease names the schema of the process, so that a migration can wait until no
        process with an older one is left.
        """
        renewed: Document = {
            "held": {"$gte": ["$expires_at", "$$NOW"]},  # a missing field is less than any date
            "expires_at": {"$add": ["$$NOW", int(seconds * 1000)]},
            "renewed_at": "$$NOW",
            "schema": SCHEMA,
        }
        lease = await change_one(
            self._processes, {"_id": process}, [{"$set": renewed}], upsert=True
        )
        return bool(lease and lease["held"])

    async def other_processes(self, process: str) -> int:
        """Count the other processes that hold a valid lease."""
        valid = {"$expr": {"$gte": ["$expires_at", "$$NOW"]}}
        return await self._processes.count_documents({"_id": {"$ne": process}, **valid})

    async def expired_processes(self) -> list[str]:
        """Return processes that serve members according to the database without a valid lease."""
        # Members are read first, since a process has a lease before it serves any.
        serving = await self._members.distinct("process", {"process": {"$gt": ""}})
        alive = await self.alive_processes()
        return [process for process in serving if process not in alive]

    async def alive_processes(self) -> set[str]:
        """Return the processes with a valid lease."""
        valid = self._processes.find({"$expr": {"$gte": ["$expires_at", "$$NOW"]}}, {"_id": 1})
        return {row["_id"] async for row in valid}

    async def mark_members_away(self, process: str, now: int) -> int:
        """Mark all members served by a dead process as away; return their number."""
        result = await self._members.update_many({"process": process}, self._disconnected(now))
        return result.modified_count

    async def forget(self, process: str) -> None:
        await self._processes.delete_one({"_id": process})

    def _connected(self, process: str, now: int) -> Document:
        return {
            "process": process,
            "away_at": None,
            "seen_at": now,
            "due_at": _due_on_mic(now),
            "version": {"$add": ["$version", 1]},
        }

    def _disconnected(self, at: int) -> list[Document]:
        away = {"process": None, "away_at": at, "due_at": _due(at, self._grace)}
        return [{"$set": {**away, "version": {"$add": ["$version", 1]}}}]


def _session(member: Member | MemberSocket) -> Document:
    """Return a filter for the membership, if the user is still in the same live session."""
    return {"_id": member.user_id, "live_id": member.live_id, "epoch": member.epoch}


def _due_on_mic(now: int) -> Document:
    """Return `due_at` of a present member: now if on mic, None if not.

    The room may still show a user on mic as away.
    """
    return {"$cond": [{"$in": ["$role", list(ON_MIC)]}, now, None]}


def _due(at: int, grace: GracePolicy) -> Document:
    """Return `due_at` of an absence that began at `at`.

    It is the time of the first consequence, which depends on the role.
    """
    on_mic = {"$in": ["$role", list(ON_MIC)]}
    return {"$cond": [on_mic, at + grace.shown, at + grace.viewer]}
