"""notice_consents: per user and template. live_notices: per live whose notices are not all sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from core.retry import retry_on_conflict
from people.notices import SIX_HOURS_MS, Consent
from rooms.room import Room
from storage.database import Collection, Database, Document
from storage.documents import document_of, documents_by_id, known_fields
from storage.write_batch import GroupCommit, WriteBatch


class ConsentStore:
    """Agreements of users, saved if they are as they were loaded."""

    def __init__(self, database: Database) -> None:
        self._consents: Collection = database.collection("notice_consents")
        self._by_id = documents_by_id(
            self._consents,
            lambda row: Consent(**{**known_fields(Consent, row), "id": row["_id"]}),
        )
        self._commits = GroupCommit(database)

    async def change(
        self, user_id: str, template_id: str, rule: Callable[[Consent], Consent | None]
    ) -> Consent | None:
        """Save and return the result of a rule for a user's consent; None changes nothing."""
        id_ = _id(user_id, template_id)

        async def attempt() -> Consent | None:
            before = await self._by_id.get(id_) or Consent(id_, user_id)
            after = rule(before)
            if after is None or after == before:
                return after
            after, batch = replace(after, version=before.version + 1), WriteBatch()
            document = document_of(after, "id")
            if before.version:
                where = {"_id": id_, "version": before.version}
                batch.replace("notice_consents", where, document)
            else:
                batch.insert("notice_consents", document)
            await self._commits.commit(batch)
            return after

        return await retry_on_conflict(attempt)

    async def due(
        self, user_ids: Sequence[str], template_id: str, host_id: str, now: int
    ) -> list[str]:
        """Return the users, in the same order, who have an agreement for a notice of this host.

        Those who got one of hers in the last six hours are left out, and not read again in her next
        live.
        """
        where: Document = {"_id": {"$in": [_id(user_id, template_id) for user_id in user_ids]}}
        where |= {"count": {"$gt": 0}, f"hosts.{host_id}.at": {"$not": {"$gt": now - SIX_HOURS_MS}}}
        due = {row["user_id"] async for row in self._consents.find(where, {"user_id": 1})}
        return [user_id for user_id in user_ids if user_id in due]


def _id(user_id: str, template_id: str) -> str:
    return f"{user_id}:{template_id}"


@dataclass(frozen=True, slots=True)
class LiveNotices:
    """A live whose followers are notified; `after` is the last of those who have been."""

    epoch: str
    live_id: int
    host_id: str
    started_at: int
    after: str = ""


class LiveNoticeStore:
    """Lives whose followers are not all notified; none is added while notices are off."""

    def __init__(self, database: Database, template_id: str) -> None:
        self._lives: Collection = database.collection("live_notices")
        self._is_on = bool(template_id)

    async def make_indexes(self) -> None:
        await self._lives.create_index("started_at")

    def add_to(self, batch: WriteBatch, room: Room) -> None:
        """Add a live that begins with this change of the room, unless it is private."""
        if self._is_on and room.epoch != room.loaded.epoch and room.visibility != "private":
            live = LiveNotices(room.epoch, room.live_id, room.host_id, room.started_at)
            batch.insert("live_notices", document_of(live, "epoch"))

    async def latest(self) -> LiveNotices | None:
        """Return the live that began last."""
        row = await self._lives.find_one(sort=[("started_at", -1)])
        if row is None:
            return None
        return LiveNotices(**{**known_fields(LiveNotices, row), "epoch": row["_id"]})

    async def advance(self, epoch: str, after: str) -> None:
        await self._lives.update_one({"_id": epoch}, {"$set": {"after": after}})

    async def delete(self, epoch: str) -> None:
        await self._lives.delete_one({"_id": epoch})
