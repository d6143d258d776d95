"""notice_consents: per user and template. live_notices: per live whose notices are not all sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from people.notices import SIX_HOURS_MS, Consent
from storage.database import Collection, Database, Document, Session
from storage.documents import document_of, known_fields
from storage.versioned import VersionedStore
from storage.write_batch import WriteBatch


class ConsentStore(VersionedStore[Consent]):
    """Agreements of users to the messages of a template."""

    name, kind = "notice_consents", Consent

    async def make_indexes(self) -> None:
        """Make none: consents are found by their ids."""

    async def get(self, id_: str, session: Session | None = None) -> Consent:
        """Return a user's consent, a new one if none is stored."""
        return await self.find(id_, session) or Consent(id_, id_.partition(":")[0])

    async def due(
        self, user_ids: Sequence[str], template_id: str, host_id: str, now: int
    ) -> list[str]:
        """Return the users, in the same order, who have an agreement for a notice of this host.

        Those who got one of hers in the last six hours are left out, and not read again in her next
        live.
        """
        ids = [consent_id(user_id, template_id) for user_id in user_ids]
        where: Document = {"_id": {"$in": ids}}
        where |= {"count": {"$gt": 0}, f"hosts.{host_id}.at": {"$not": {"$gt": now - SIX_HOURS_MS}}}
        due = {row["user_id"] async for row in self._documents.find(where, {"user_id": 1})}
        return [user_id for user_id in user_ids if user_id in due]


def consent_id(user_id: str, template_id: str) -> str:
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
    """Lives whose followers are not all notified."""

    def __init__(self, database: Database) -> None:
        self._lives: Collection = database.collection("live_notices")

    async def make_indexes(self) -> None:
        await self._lives.create_index("started_at")

    def add_to(self, batch: WriteBatch, live: LiveNotices) -> None:
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
