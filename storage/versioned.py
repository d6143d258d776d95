"""Documents that are saved if they are as they were loaded, and claimed when they are due."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from core.errors import NotFound, WriteConflict
from core.retry import retry_on_conflict
from rooms.events import NewEvent
from storage.database import Collection, Database, Document, Session
from storage.documents import (
    document_of,
    given,
    known_fields,
    make_page_indexes,
    make_partial_index,
    page,
)
from storage.jobs.due import BEFORE_ANY, claim_due
from storage.user_channels import UserChannelStore
from storage.webhooks.webhooks import WebhookStore
from storage.write_batch import GroupCommit, WriteBatch

T = TypeVar("T")


class Versioned(Protocol):
    """A dataclass with slots whose `version` counts its stored changes."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...


class VersionedOfUser(Versioned, Protocol):
    """A versioned dataclass about a user."""

    @property
    def user_id(self) -> str: ...


V = TypeVar("V", bound=Versioned)
U = TypeVar("U", bound=VersionedOfUser)


class DocumentStore(Generic[T]):
    """Documents of one collection as dataclasses with slots. A subclass sets the attributes."""

    name: str
    """Name of the collection."""
    kind: type[T]
    id_name: str = "id"
    """Field of the dataclass that is stored as `_id`."""
    newest_by: str
    """Time by which lists are ordered, newest first."""
    list_filters: Sequence[str] = ("user_id", "state")
    """Fields by which lists are filtered, each with an index."""
    unlisted: Sequence[str] = ()
    """Fields that lists leave out."""
    missing: type[NotFound] = NotFound

    def __init__(self, database: Database) -> None:
        self._database = database
        self._documents: Collection = database.collection(self.name)

    async def make_indexes(self) -> None:
        await make_page_indexes(self._documents, self.newest_by, *self.list_filters)

    async def find(self, id_: str, session: Session | None = None) -> T | None:
        return await self._find_one({"_id": id_}, session)

    async def get(self, id_: str, session: Session | None = None) -> T:
        """Return the document that `find` finds. Raises the error `missing` if there is none."""
        found = await self.find(id_, session)
        if found is None:
            raise self.missing
        return found

    async def add(self, value: T, session: Session | None = None) -> None:
        """Insert a new document. Raises DuplicateKeyError if a unique index has its values."""
        await self._documents.insert_one(self._document(value), session=session)

    async def page(self, after: str, limit: int, **filters: Any) -> tuple[list[T], str | None]:
        """Return documents newest first, and the next cursor. Raises InvalidCursor.

        `filters`: values of fields, a list for several; an empty one does not limit the list.
        """
        where, shown = given(**filters), dict.fromkeys(self.unlisted, 0) or None
        rows, cursor = await page(
            self._documents, where, self.newest_by, after, limit, fields=shown
        )
        return [self.parse(row) for row in rows], cursor

    async def _find_one(
        self, where: Document, session: Session | None = None, **options: Any
    ) -> T | None:
        row = await self._documents.find_one(where, session=session, **options)
        return self.parse(row) if row else None

    @classmethod
    def parse(cls, row: Document) -> T:
        """Return the value of a document, without fields that a later release has stored."""
        return cls.kind(**{**known_fields(cls.kind, row), cls.id_name: row["_id"]})

    def _document(self, value: T) -> Document:
        return document_of(value, self.id_name)


class VersionedStore(DocumentStore[V]):
    """Documents that change under the guard of their version."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._commits = GroupCommit(database)

    async def change(self, id_: str, rule: Callable[[V], V]) -> V:
        """Load a document, and save and return the result of a rule; a faster request repeats it.

        A rule that changes nothing saves nothing; what it raises propagates. Raises `missing` or
        TryAgain.
        """

        async def attempt() -> V:
            before = await self.get(id_)
            after = rule(before)
            return before if after == before else await self.save(before, after)

        return await retry_on_conflict(attempt)

    async def save(self, before: V, after: V) -> V:
        """Write and return the changed document. Raises WriteConflict if it was saved since."""
        batch = WriteBatch()
        saved = self.add_save(batch, before, after)
        await self._commits.commit(batch)
        return saved

    def add_save(self, batch: WriteBatch, before: V, after: V) -> V:
        """Add a save to writes of one commit; a document of version 0 is not stored yet."""
        saved = replace(after, version=before.version + 1)
        if before.version:
            batch.replace(self.name, _as_read(before), self._document(saved))
        else:
            batch.insert(self.name, self._document(saved))
        return saved


class ClaimedStore(VersionedStore[U]):
    """Versioned documents that a job claims at `due_at`.

    Each is of a user, to whose channel a change adds events, and may be of interest to webhooks.
    """

    def __init__(
        self, database: Database, channels: UserChannelStore, webhooks: WebhookStore
    ) -> None:
        super().__init__(database)
        self._channels = channels
        self._webhooks = webhooks

    async def make_indexes(self) -> None:
        await super().make_indexes()
        await make_partial_index(self._documents, "due_at", BEFORE_ANY)

    async def save(self, before: U, after: U, session: Session | None = None) -> U:
        """Write what differs, and return the saved value; it becomes due at its `_due_at`.

        Raises WriteConflict if the document was saved since it was read as `before`.
        """
        update = self._update(before, after)
        update["$set"] |= {"due_at": self._due_at(after), "version": before.version + 1}
        events, outgoing = self._user_events(before, after), self._webhook_events(before, after)
        has_receivers = await self._webhooks.wants(outgoing)

        async def write(session: Session | None) -> bool:
            result = await self._documents.update_one(_as_read(before), update, session=session)
            for event in events if result.matched_count else ():
                assert session is not None
                await self._channels.add(before.user_id, event, session)
            if has_receivers and result.matched_count:
                await self._webhooks.add(session, *outgoing)
            return bool(result.matched_count)

        if (events or has_receivers) and session is None:
            # Repeated if another event of the user conflicts, but not if this document was saved.
            is_saved = await self._database.transaction_with_retry(write)
        else:
            is_saved = await write(session)
        if not is_saved:
            raise WriteConflict
        return replace(after, version=before.version + 1)

    async def claim(self, lease: timedelta) -> U | None:
        """Lease the document that is due for the longest time, by the database's clock."""
        row = await claim_due(self._documents, lease)
        return self.parse(row) if row else None

    async def postpone(self, value: U) -> None:
        """End the lease: the document becomes due at its `_due_at`, unless it was saved since."""
        due = {"$set": {"due_at": self._due_at(value)}}
        await self._documents.update_one(_as_read(value), due)

    def _user_events(self, before: U, after: U) -> Sequence[NewEvent]:
        """Return what the change adds to the channel of the user."""
        raise NotImplementedError

    def _webhook_events(self, before: U | None, after: U) -> Sequence[NewEvent]:
        """Return what webhooks send of the change; `before` is None for a new document."""
        raise NotImplementedError

    def _due_at(self, value: U) -> datetime | None:
        """Return when a job has to claim the document; None for never."""
        raise NotImplementedError

    def _document(self, value: U) -> Document:
        return super()._document(value) | {"due_at": self._due_at(value)}

    def _update(self, before: U, after: U) -> Document:
        """Return the update of all fields that differ."""
        old, new = self._document(before), self._document(after)
        changed = {name: new[name] for name in new if name not in old or old[name] != new[name]}
        gone = dict.fromkeys(old.keys() - new.keys(), "")
        return {"$set": changed, **({"$unset": gone} if gone else {})}


def _as_read(value: Versioned) -> Document:
    return {"_id": value.id, "version": value.version}
