"""webhooks: one document per endpoint. webhook_events: one per endpoint and event.

An event is written in the transaction that makes it true. MongoDB sets its `position` then, by a
clock of the replica set that never repeats a time and never goes back: of two changes of one room,
user or item, of which the second has seen the first, the second has the higher position.
"""

import base64
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from bson import Timestamp

from core.batching import SingleFlight
from core.cache import Cache
from rooms.events import NewEvent
from storage.database import Collection, Database, Document, Session
from storage.documents import change_one, is_over, known_fields
from storage.errors import TooManyWebhooks, WebhookNotFound
from storage.field_cipher import FieldCipher
from storage.jobs.due import claim_due
from storage.write_batch import WriteBatch

MAX_WEBHOOKS = 20
"""Endpoints; the deliveries of a process have a place for each, so that none waits for another."""
LONGEST_WAIT = timedelta(days=30)
"""How long an event of an enabled endpoint waits at most, behind others that take days each."""
ROTATION = timedelta(days=1)
"""How long a replaced secret signs beside the present one."""
MAX_OLD_SECRETS = 4
"""Replaced secrets that are kept: an admin whose answer was lost rotates again."""
CACHE_SECONDS = 10.0
"""How late a process learns of a change whose message it has not received."""
WAITING: Document = {"state": "waiting"}
DeliveryState = Literal["waiting", "delivered", "given_up"]
OffReason = Literal["", "gone", "failing", "operator"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint; `secrets` sign, the present one first."""

    id: str
    url: str
    types: Sequence[str]
    made_at: datetime
    enabled: bool = True
    off_reason: OffReason = ""
    failing_since: datetime | None = None
    """The first failure since the last success."""
    due_at: datetime | None = None
    secrets: Sequence[str] = field(default=(), repr=False)

    @property
    def secret(self) -> str:
        """The present secret."""
        return self.secrets[0]

    @property
    def summary(self) -> dict[str, Any]:
        """What the audit log has of it: what follows the path of the address may be a key."""
        url = re.split("[?#]", self.url, maxsplit=1)[0]
        return {"url": url, "types": self.types, "enabled": self.enabled} | {
            "off_reason": self.off_reason
        }


class WebhookStore:
    """Endpoints, and the events that are written for them."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._webhooks: Collection = database.collection("webhooks")
        self._events: Collection = database.collection("webhook_events")
        self._cipher = cipher
        self._enabled: Cache[str, list[Document]] = Cache(CACHE_SECONDS, 1)
        self._reads = SingleFlight(lambda: self._enabled.load("", self._read_enabled))

    # ---- events

    async def add(self, session: Session | None, *events: NewEvent) -> None:
        """Write events in the transaction that makes them true."""
        if rows := await self._rows(events):
            await self._events.insert_many(rows, session=session)

    async def add_to(self, batch: WriteBatch, *events: NewEvent) -> None:
        """Add events to the writes that make them true."""
        if rows := await self._rows(events):
            batch.insert("webhook_events", *rows)

    async def wants(self, events: Iterable[NewEvent]) -> bool:
        """Return whether an endpoint receives one of these events. Reads nothing for no event."""
        types = {event.type for event in events}
        return bool(types) and any(types & {*row["types"]} for row in await self.enabled())

    async def enabled(self) -> list[Document]:
        """Return id and types of the enabled endpoints, as of CACHE_SECONDS ago at most."""
        found = self._enabled.get("")
        return await self._reads.get() if found is None else found

    def forget(self) -> None:
        """Read the endpoints again, since they have changed."""
        self._enabled.clear()

    async def _read_enabled(self) -> list[Document]:
        return await self._webhooks.find({"enabled": True}, {"types": 1}).to_list()

    async def _rows(self, events: Sequence[NewEvent]) -> list[Document]:
        now, endpoints = datetime.now(UTC), await self.enabled() if events else ()
        return [
            {
                "_id": f"msg_{secrets.token_hex(12)}",
                "webhook_id": endpoint["_id"],
                "type": event.type,
                "at": now,
                "data": dict(event.data),
                "position": Timestamp(0, 0),  # MongoDB replaces it by its own time
                "expires_at": now + LONGEST_WAIT,
                **WAITING,
            }
            for event in events
            for endpoint in endpoints
            if event.type in endpoint["types"]
        ]

    # ---- endpoints

    async def all(self) -> list[Webhook]:
        return [self._parse(row) async for row in self._webhooks.find().sort("made_at", 1)]

    async def find(self, id_: str) -> Webhook | None:
        row = await self._webhooks.find_one({"_id": id_})
        return self._parse(row) if row else None

    async def get(self, id_: str) -> Webhook:
        """Return an endpoint. Raises WebhookNotFound."""
        return self._found(await self._webhooks.find_one({"_id": id_}))

    async def create(self, url: str, types: Sequence[str], *, enabled: bool) -> Webhook:
        """Add an endpoint with a new secret. Raises TooManyWebhooks."""
        id_, now = secrets.token_hex(12), datetime.now(UTC)
        row: Document = {"_id": id_, "url": url, "types": [*types], "made_at": now}
        row |= {"enabled": enabled, "due_at": now, "secrets": [self._new_secret(id_)]}
        await self._webhooks.insert_one(row)
        if await is_over(self._webhooks, {}, MAX_WEBHOOKS):
            await self.delete(id_)
            raise TooManyWebhooks
        return self._parse(row)

    async def change(self, id_: str, **fields: Any) -> Webhook:
        """Set fields, and make the endpoint due at once. Raises WebhookNotFound."""
        change = {"$set": {**fields, "due_at": datetime.now(UTC)}}
        return self._found(await change_one(self._webhooks, {"_id": id_}, change))

    async def end_delay(self, id_: str, longest_lease: timedelta) -> None:
        """Make an endpoint due that waits for longer than an attempt may take."""
        now = datetime.now(UTC)
        delayed = {"_id": id_, "due_at": {"$gt": now + longest_lease}}
        await self._webhooks.update_one(delayed, {"$set": {"due_at": now}})

    async def rotate(self, id_: str) -> Webhook:
        """Replace the secret, which signs beside the new one for ROTATION."""
        first = {"$each": [self._new_secret(id_)], "$position": 0, "$slice": 1 + MAX_OLD_SECRETS}
        change: Document = {"$push": {"secrets": first}}
        return self._found(await change_one(self._webhooks, {"_id": id_}, change))

    async def delete(self, id_: str) -> None:
        if not (await self._webhooks.delete_one({"_id": id_})).deleted_count:
            raise WebhookNotFound

    async def claim(self, lease: timedelta) -> Webhook | None:
        """Lease an enabled endpoint that is due; reads nothing if there is no enabled one."""
        if not await self.enabled():
            return None
        row = await claim_due(self._webhooks, lease, {"enabled": True})
        return self._parse(row) if row else None

    async def release(self, webhook: Webhook, delay: timedelta, **fields: Any) -> bool:
        """End the lease, to be due after `delay`.

        Return False, and set nothing, if the endpoint was changed meanwhile.
        """
        due = {"$add": ["$$NOW", int(delay.total_seconds() * 1000)]}
        claimed = {"_id": webhook.id, "due_at": webhook.due_at}
        update = [{"$set": {**fields, "due_at": due}}]
        return bool((await self._webhooks.update_one(claimed, update)).matched_count)

    def _new_secret(self, id_: str) -> Document:
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        return {"secret": self._cipher.encrypt(secret, id_), "made_at": datetime.now(UTC)}

    def _found(self, row: Document | None) -> Webhook:
        if row is None:
            raise WebhookNotFound
        return self._parse(row)

    def _parse(self, row: Document) -> Webhook:
        stored, day_ago = row["secrets"], datetime.now(UTC) - ROTATION
        signing = [stored[0], *(old for new, old in pairwise(stored) if new["made_at"] > day_ago)]
        found = [self._cipher.decrypt(one["secret"], row["_id"]) for one in signing]
        fields = {"id": row["_id"], "secrets": [secret for secret in found if secret]}
        return Webhook(**known_fields(Webhook, row) | fields)
