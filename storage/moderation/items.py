"""moderation_items: what is checked, reported or decided; one document each."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.errors import NotFound, TryAgain
from rooms.moderation import FIELDS, OPEN_STATES, Item
from storage.database import Collection, Database, Document, Session
from storage.documents import document_of, documents_by_id, known_fields, page
from storage.jobs.due import claim_due, make_due_index
from storage.jobs.outbox import DELETE_OBJECT, OutboxStore

SHOWN_IN: Mapping[str, tuple[str, str, str]] = {
    "nickname": ("users", "_id", "nickname"),
    "face": ("users", "_id", "face_url"),
    "room_name": ("rooms", "host_id", "title"),
    "cover": ("rooms", "host_id", "cover"),
}
"""Where others see a value: collection, field of its user's number, and field of the value."""


class ItemChanged(Exception):
    """The item was saved since it was read: read it again."""


class ModerationStore:
    """Items, changed under the guard of their version. Decided ones expire."""

    def __init__(self, database: Database, outbox: OutboxStore, days: int) -> None:
        """`days` for which a decided item is kept, 0 for ever."""
        self._database = database
        self._outbox = outbox
        self._items: Collection = database.collection("moderation_items")
        self._days = days
        self._by_key = documents_by_id(self._items, _item_from, key="open_key")

    async def make_indexes(self) -> None:
        newest = [("created_at", -1), ("_id", -1)]
        await self._items.create_index("open_key", unique=True, sparse=True)
        for before in ([], [("state", 1)], [("user_id", 1)]):
            await self._items.create_index([*before, *newest])
        await self._items.create_index(
            "trace_id", partialFilterExpression={"trace_id": {"$gt": ""}}
        )
        await self._items.create_index(
            "evidence.reporter", partialFilterExpression={"evidence.reporter": {"$gt": ""}}
        )
        await self._items.create_index("expires_at", expireAfterSeconds=0)
        await make_due_index(self._items)

    async def add(self, item: Item, session: Session | None = None) -> None:
        """Add an item, unless its id says what it is about and it was added before."""
        new = {"$setOnInsert": self._document(item)}
        await self._items.update_one({"_id": item.id}, new, upsert=True, session=session)

    async def put(self, item: Item, session: Session | None = None) -> None:
        """Store a proposal in place of the user's open one, in one transaction: before its value is
        shown, or in the transaction that shows it.

        Its `before` is that of the open one, or else what others see in the transaction. One
        without an id is not stored: it supersedes if it is approved, and has no effect otherwise.
        TryAgain if it is approved because `before` was shown, which has changed.
        """

        async def work(session: Session) -> None:
            where = {"open_key": f"{item.kind}:{item.user_id}"}
            row = await self._items.find_one(where, session=session)
            older = _item_from(row) if row else None
            before = older.before if older else await self.shown(item.kind, item.user_id, session)
            if not item.id and item.before not in ("", before):
                raise TryAgain
            if older:
                await self.save(older, older.supersede(datetime.now(UTC)), session)
            if item.id:
                await self.add(replace(item, before=before), session)

        if item.id or not item.is_open:
            await (work(session) if session else self._database.transaction_with_retry(work))

    async def save(self, before: Item, after: Item, session: Session | None = None) -> Item:
        """Replace an item, unless it was saved since it was read as `before`: ItemChanged."""
        after = replace(after, version=before.version + 1)
        result = await self._items.replace_one(
            {"_id": before.id, "version": before.version}, self._document(after), session=session
        )
        if not result.matched_count:
            raise ItemChanged
        return after

    async def refuse_picture(self, before: Item, after: Item) -> Item:
        """As `save`, and queue the deletion of the refused picture, atomically."""

        async def work(session: Session) -> Item:
            payload = {"key": after.value, "refused": True}
            await self._outbox.add_later(DELETE_OBJECT, payload, timedelta(), session)
            return await self.save(before, after, session)

        return await self._database.transaction_with_retry(work)

    async def shown(self, kind: str, user_id: str, session: Session | None = None) -> str:
        """The value that others see at present."""
        collection, owner, name = SHOWN_IN[kind]
        row = await self._database.collection(collection).find_one(
            {owner: user_id}, {name: 1}, session=session
        )
        return row[name] if row else ""

    async def find(self, id_: str) -> Item | None:
        row = await self._items.find_one({"_id": id_})
        return _item_from(row) if row else None

    async def get(self, id_: str) -> Item:
        """Raises NotFound."""
        item = await self.find(id_)
        if item is None:
            raise NotFound
        return item

    async def by_trace(self, trace_id: str) -> Item | None:
        """The item whose check has this number."""
        row = await self._items.find_one({"trace_id": trace_id})
        return _item_from(row) if row else None

    async def claim(self, lease: timedelta) -> Item | None:
        """Lease the item that is due for the longest time, by the database's clock."""
        row = await claim_due(self._items, lease)
        return _item_from(row) if row else None

    async def open_of(self, user_id: str) -> dict[str, Item]:
        """The user's proposals that are not decided yet, by kind."""
        items = await self._by_key.get_many([f"{kind}:{user_id}" for kind in FIELDS])
        return {item.kind: item for item in items if item and item.is_open}

    async def last_of(self, kind: str, user_id: str, value: str) -> Item | None:
        """The newest item of a user about this value."""
        where = {"user_id": user_id, "kind": kind, "value": value}
        row = await self._items.find_one(where, sort=[("created_at", -1)])
        return _item_from(row) if row else None

    async def last_stop(self, user_id: str, session: Session) -> datetime | None:
        """When a stream of the user was last stopped, of those that no operator has approved."""
        stopped = [{"state": "review", "shown": False}, {"state": "refused"}]
        where = {"user_id": user_id, "kind": "stream", "$or": stopped}
        rows = await self._items.find(where, session=session).to_list()
        stops = (row["decided_at" if row["shown"] else "created_at"] for row in rows)
        return max(stops, default=None)

    async def page(
        self, kind: str, states: Sequence[str], user_id: str, after: str, limit: int
    ) -> tuple[list[Item], str | None]:
        """Items for operators, newest first, and the next cursor; raises InvalidCursor.

        "" and an empty sequence do not limit them.
        """
        given = {"user_id": user_id, "kind": kind, "state": states and {"$in": [*states]}}
        where: Document = {name: value for name, value in given.items() if value}
        rows, cursor = await page(self._items, where, "created_at", after, limit)
        return [_item_from(row) for row in rows], cursor

    async def open_counts(self) -> tuple[Mapping[str, int], Mapping[str, datetime]]:
        """Open items by kind, and since when the oldest of each kind is."""
        is_open: Document = {"$match": {"state": {"$in": [*OPEN_STATES]}}}
        by_kind: Document = {"_id": "$kind", "n": {"$sum": 1}, "oldest": {"$min": "$created_at"}}
        rows = await (await self._items.aggregate([is_open, {"$group": by_kind}])).to_list()
        counts = {row["_id"]: row["n"] for row in rows}
        return counts, {row["_id"]: row["oldest"] for row in rows}

    def _document(self, item: Item) -> Document:
        row = document_of(item, "id")
        if item.kind in FIELDS and (item.is_open or item.must_apply):
            row["open_key"] = f"{item.kind}:{item.user_id}"
        if not item.is_open and not item.must_apply and self._days:
            row["expires_at"] = datetime.now(UTC) + timedelta(days=self._days)
        return row


def new_item_id() -> str:
    return secrets.token_hex(12)


def item_id_of(*subject: object) -> str:
    """The id of an item of which there is one for a subject."""
    return hashlib.sha256(":".join(map(str, subject)).encode()).hexdigest()[:24]


def _item_from(row: Document) -> Item:
    return Item(**{**known_fields(Item, row), "id": row["_id"]})
