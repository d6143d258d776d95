"""Collections of the chat at Tencent IM.

rooms: the chat group of each room. relay_cursors: each room's cursor of the relay towards IM, and
the claim on it. chat_lines: the last lines that users wrote in each room, as evidence of reports.
"""

import re
import secrets
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from pymongo import ReplaceOne, UpdateOne

from core.batching import RequestBatcher
from core.errors import TryAgain
from storage.database import Collection, Database, Document
from storage.documents import change_one, known_fields
from storage.identities import IdentityStore
from storage.jobs.due import claim_unchanged

GROUP_PREFIX = "qlive_"
REPLACE_MS = 5 * 60_000
"""Minimum interval between two replacements: a host can dissolve the own group in a loop."""
MAX_UPDATES = 100
"""Rows of claimed rooms that are updated by one command."""
LINES_KEPT = 200
"""Lines of a room, in a ring with one document per slot: a new line replaces the oldest."""
MAX_WAITING = 10_000
"""Lines that are not stored yet, some 2 MB; further ones are lost while MongoDB is down."""
BATCH_LINES = 100
"""Lines of one command; more would hold up the event loop, which answers IM."""
MAX_TEXT = 1_000  # characters


class RelayPosition(NamedTuple):
    """Events of `epoch` up to `seq` have been relayed; `over`: the live session has ended."""

    epoch: str
    seq: int
    over: bool


@dataclass(frozen=True, slots=True)
class RelayClaim:
    """A claim on one room, with its row as of the claim."""

    live_id: int
    epoch: str
    """The live session of which events up to `seq` have been relayed; "" for none yet."""
    seq: int
    since: datetime
    """When the row was created; events before are not relayed."""
    counts_due: bool
    """The user counts may have changed; they are not sent before `counts_at`."""
    counts_at: datetime
    tries: int
    """Failures since the last success; `woken` and `claims` count all wakes and claims."""
    woken: int
    claims: int


class ClaimLost(Exception):
    """Another process has claimed the room."""


class RelayCursorStore:
    """One row per room. Any process may wake a room, only the claimant moves its cursor.

    `due_at` is set while there is work, `claimed_until` is when others may claim. A wake during a
    claim or a backoff sets only `due_at`.
    """

    def __init__(self, database: Database) -> None:
        self._relays: Collection = database.collection("relay_cursors")
        self._updates: RequestBatcher[UpdateOne, None] = RequestBatcher(self._update, MAX_UPDATES)

    async def make_indexes(self) -> None:
        await self._relays.create_index("due_at", sparse=True)
        await self._relays.create_index("over")

    async def mark_due(self, wakes: Mapping[int, bool], now: datetime) -> None:
        """Make rooms due by one command; if True, their user counts may have changed, too."""
        row: Document = {"epoch": "", "seq": 0, "over": False, "since": now, "counts_at": now}
        row |= {"tries": 0, "claims": 0, "claimed_until": now}
        woken: Document = {"$min": {"due_at": now}, "$inc": {"woken": 1}}
        with_counts = {**woken, "$setOnInsert": row, "$set": {"counts_due": True}}
        without = {**woken, "$setOnInsert": {**row, "counts_due": False}}
        updates = [
            UpdateOne({"_id": live_id}, with_counts if counts else without, upsert=True)
            for live_id, counts in wakes.items()
        ]
        await self._relays.bulk_write(updates, ordered=False)

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[RelayClaim]:
        """Claim at most `limit` rooms until `until`, those that have been due the longest."""
        where = {"due_at": {"$lte": now}, "claimed_until": {"$lte": now}}
        rows = await self._relays.find(where).sort("due_at", 1).limit(limit).to_list()
        if not rows:
            return []
        change = {"$set": {"claimed_until": until}, "$inc": {"claims": 1}}
        # A wake in between does not prevent a claim; the room then stays due after its release.
        names = ("_id", "claims", "claimed_until", "epoch", "seq")
        as_read = [{name: row[name] for name in names} for row in rows]
        claimed = await claim_unchanged(self._relays, [(where, change) for where in as_read])
        for row in rows:
            row |= {"live_id": row["_id"], "claims": row["claims"] + 1}
        known = (known_fields(RelayClaim, row) for row in rows if row["_id"] in claimed)
        return [RelayClaim(**fields) for fields in known]

    async def advance(self, claim: RelayClaim, position: RelayPosition, until: datetime) -> None:
        """Move the cursor and extend the claim to `until`. Raises ClaimLost."""
        fields = {**position._asdict(), "tries": 0, "claimed_until": until}
        await self._updates.submit(0, UpdateOne(_unless_reclaimed(claim), {"$set": fields}))

    async def release(
        self,
        claim: RelayClaim,
        position: RelayPosition | None,
        now: datetime,
        counts_at: datetime,
        due_at: datetime | None,
        *,
        counts_due: bool,
    ) -> None:
        """Release a claim, after moving the cursor to `position`, if any. Raises ClaimLost.

        The room is due at `due_at`, or at once if it was woken meanwhile.
        """
        woken: Document = {"$ne": ["$woken", claim.woken]}
        fields = {
            **(position._asdict() if position else {}),
            "tries": 0,
            "counts_at": counts_at,
            "claimed_until": now,
            "counts_due": {"$cond": [woken, "$counts_due", counts_due]},
            "due_at": {"$cond": [woken, "$due_at", due_at or "$$REMOVE"]},
        }
        await self._updates.submit(0, UpdateOne(_unless_reclaimed(claim), [{"$set": fields}]))

    async def postpone(self, claim: RelayClaim, at: datetime) -> None:
        """Back off after a failure: the room cannot be claimed before `at`, even if woken.

        Ends the claim: an update of it that still waits for its turn finds nothing.
        """
        change = {"$set": {"claimed_until": at}, "$inc": {"tries": 1, "claims": 1}}
        await self._relays.update_one(_unless_reclaimed(claim), change)

    async def cursors(self) -> dict[int, tuple[str, int]]:
        """Return (epoch, seq) by live_id, of rooms whose last live session is not fully relayed."""
        found = self._relays.find({"over": False}, {"epoch": 1, "seq": 1})
        return {row["_id"]: (row["epoch"], row["seq"]) async for row in found}

    async def _update(self, _name: int, updates: Sequence[UpdateOne]) -> list[ClaimLost | None]:
        """Return ClaimLost for each update that finds no row. To repeat one changes nothing."""
        result = await self._relays.bulk_write(updates)
        if result.matched_count == len(updates):
            return [None] * len(updates)
        results = [await self._relays.bulk_write([update]) for update in updates]
        return [None if result.matched_count else ClaimLost() for result in results]


class RoomGroupStore:
    """The group of a room, whether it exists (`group_ready`), and its replacement."""

    def __init__(self, database: Database) -> None:
        self._rooms: Collection = database.collection("rooms")
        self._identities = IdentityStore(database)

    async def mark_ready(self, live_id: int, group_id: str) -> None:
        """Note that the group exists, unless the room has another one by now."""
        where = {"_id": live_id, "group_id": group_id}
        await self._rooms.update_one(where, {"$set": {"group_ready": True}})

    async def plan(self, live_id: int, dissolved: str) -> str | None:
        """Return the id of the group that replaces `dissolved`, the same for all callers.

        None if the room has another by now. Raises TryAgain within REPLACE_MS of the last plan.
        """
        is_planned = {"$eq": ["$next_group.replaces", "$group_id"]}
        is_early = {"$gt": ["$next_group.at", {"$subtract": ["$$NOW", REPLACE_MS]}]}
        new_plan = {"replaces": "$group_id", "group_id": new_group_id(live_id), "at": "$$NOW"}
        plan = {"$cond": [{"$or": [is_planned, is_early]}, "$next_group", new_plan]}
        where, change = {"_id": live_id, "group_id": dissolved}, [{"$set": {"next_group": plan}}]
        room = await change_one(self._rooms, where, change, fields={"next_group": 1})
        if room and room["next_group"]["replaces"] != dissolved:
            raise TryAgain
        return str(room["next_group"]["group_id"]) if room else None

    async def room_of(self, group_id: str) -> int | None:
        """Return the room whose present or next live uses this group."""
        in_use = [{"status": {"$ne": "ended"}}, {"group_ready": True}]
        where = {"_id": live_id_of(group_id), "group_id": group_id, "$or": in_use}
        room = await self._rooms.find_one(where, {"_id": 1})
        return int(room["_id"]) if room else None

    async def detach(self, host_id: str) -> str | None:
        """Give a host's room a new id; return the old one, None if that group is not ready."""
        live_id = await self._identities.find("host", host_id)
        if live_id is None:
            return None
        room = await self._rooms.find_one_and_update(
            {"_id": live_id, "group_ready": True},
            {"$set": {"group_ready": False, "group_id": new_group_id(live_id)}},
        )
        return str(room["group_id"]) if room else None


def new_group_id(live_id: int) -> str:
    """Return an id that names the room, and is random beside that.

    Clients of IM can create groups under any id that they guess.
    """
    return f"{GROUP_PREFIX}{live_id}_{secrets.token_hex(12)}"


def live_id_of(group_id: str) -> int:
    """Return the room that a group id names; 0 for an id of others."""
    found = re.fullmatch(rf"{GROUP_PREFIX}([0-9]{{1,15}})_[0-9a-f]+", group_id)
    return int(found[1]) if found else 0


def _unless_reclaimed(claim: RelayClaim) -> Document:
    """Return a filter that matches unless the room has been claimed again since."""
    return {"_id": claim.live_id, "claims": claim.claims}


class ChatLine(NamedTuple):
    """One message of a user; `at` in ms."""

    user_id: str
    text: str
    at: int


class ChatLineStore:
    """A ring of lines for each room, which expire in any case.

    IM has its answer before a line is stored: lines wait in memory for `flush`.
    """

    def __init__(self, database: Database, days: int) -> None:
        """Create the store; a line is kept for `days` or, with 0, until newer ones replace it."""
        self._database = database
        self._lines: Collection = database.collection("chat_lines")
        self._days = days
        self._waiting: deque[tuple[int, ChatLine]] = deque()

    async def make_indexes(self) -> None:
        await self._lines.create_index("expires_at", expireAfterSeconds=0)
        await self._lines.create_index([("room", 1), ("n", 1)])

    def add(self, live_id: int, line: ChatLine) -> None:
        """Queue a line, without ever waiting; a line without text is not kept."""
        if line.text and len(self._waiting) < MAX_WAITING:
            self._waiting.append((live_id, line._replace(text=line.text[:MAX_TEXT])))

    async def flush(self) -> None:
        """Store the lines that wait; all stay if MongoDB fails."""
        while batch := [*islice(self._waiting, BATCH_LINES)]:
            expires_at = datetime.now(UTC) + timedelta(days=self._days)
            expiry = {"expires_at": expires_at} if self._days else {}
            # The processes share the numbers of each room.
            numbers = {
                live_id: await self._database.next_number(f"chat_lines:{live_id}", count) - count
                for live_id, count in Counter(live_id for live_id, _ in batch).items()
            }
            writes = []
            for live_id, line in batch:
                numbers[live_id] += 1
                row = {"room": live_id, "n": numbers[live_id], **line._asdict(), **expiry}
                slot = f"{live_id}:{numbers[live_id] % LINES_KEPT}"
                writes.append(ReplaceOne({"_id": slot}, row, upsert=True))
            await self._lines.bulk_write(writes, ordered=False)
            for _ in batch:
                self._waiting.popleft()

    async def last_lines(self, live_id: int, user_ids: Iterable[str] = ()) -> list[ChatLine]:
        """Return the last lines of a room, oldest first, of these users or (empty) of all.

        They are users' private words: a caller that shows them is audited.
        """
        where: Document = {"room": live_id}
        if users := [*user_ids]:
            where["user_id"] = {"$in": users}
        rows = await self._lines.find(where).sort("n", 1).to_list()
        return [ChatLine(*(row[name] for name in ChatLine._fields)) for row in rows]
