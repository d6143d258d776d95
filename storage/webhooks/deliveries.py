"""webhook_events: events that wait for an endpoint, and the log of deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.database import Document
from storage.documents import fields_of
from storage.errors import WebhookNotFound
from storage.versioned import DocumentStore
from storage.webhooks.webhooks import WAITING, DeliveryState

KEPT = timedelta(days=7)
"""How long the log of a delivery is kept, and events that wait for an endpoint that is off."""
MAX_ATTEMPTS = 20
"""Newest attempts in the log of a delivery; more than 11 only if operators repeat them."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request; `status` is 0 without an answer, for the reason `error`."""

    at: datetime
    seconds: float
    status: int = 0
    error: str = ""
    retry_after: float = 0.0
    """Seconds, as the answer says."""

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for one endpoint; its id is the same in each attempt."""

    id: str
    webhook_id: str
    type: str
    at: datetime
    data: dict[str, Any]
    state: DeliveryState = "waiting"
    tries: int = 0
    first_try_at: datetime | None = None
    attempts: Sequence[dict[str, Any]] = ()


class DeliveryStore(DocumentStore[Delivery]):
    """Events that wait, and for KEPT those that were delivered or given up."""

    name, kind, newest_by = "webhook_events", Delivery, "at"
    list_filters = ("webhook_id",)
    missing = WebhookNotFound

    async def make_indexes(self) -> None:
        await super().make_indexes()
        await self._documents.create_index(
            [("webhook_id", 1), ("position", 1)], partialFilterExpression=WAITING
        )
        await self._documents.create_index("expires_at", expireAfterSeconds=0)

    async def next(self, webhook_id: str) -> Delivery | None:
        """Return the event that is to be sent next."""
        where = {"webhook_id": webhook_id, **WAITING}
        return await self._find_one(where, sort=[("position", 1)])

    async def add_data(self, event: Delivery, fields: Mapping[str, Any]) -> Delivery:
        """Add fields that are known only when the event is sent; repetitions add the same."""
        added = {f"data.{name}": value for name, value in fields.items()}
        await self._documents.update_one({"_id": event.id}, {"$set": added})
        return replace(event, data={**event.data, **fields})

    async def queue_again(self, event: Delivery, longest: timedelta) -> None:
        """Have an event that has ended sent again, behind those that wait; `longest`: its wait."""
        fresh = {**WAITING, "tries": 0, "first_try_at": None}
        fresh["expires_at"] = datetime.now(UTC) + longest
        await self._documents.update_one(
            {"_id": event.id, "state": {"$ne": "waiting"}},
            {"$set": fresh, "$currentDate": {"position": {"$type": "timestamp"}}},
        )

    async def note(
        self, event: Delivery, attempt: Attempt, state: DeliveryState, **schedule: Any
    ) -> bool:
        """Add an attempt to the log, and set `state` and fields of the schedule.

        An event that has ended expires after KEPT. Return False, and store nothing, if an event
        that is given up no longer waits.
        """
        if state != "waiting":
            schedule |= {"state": state, "expires_at": datetime.now(UTC) + KEPT}
        log = {"$each": [fields_of(attempt)], "$slice": -MAX_ATTEMPTS}
        where = {"_id": event.id, **(WAITING if state == "given_up" else {})}
        update = {"$set": schedule, "$push": {"attempts": log}}
        return bool((await self._documents.update_one(where, update)).matched_count)

    async def keep_waiting(
        self, webhook_id: str, longest: timedelta, *, restart: bool = False
    ) -> None:
        """Keep what waits for this time from now on; `restart` its schedule of attempts, too."""
        schedule: Document = {"first_try_at": None, "tries": 0} if restart else {}
        until = {"$set": {"expires_at": datetime.now(UTC) + longest, **schedule}}
        with self._database.slow_operation_timeout():
            await self._documents.update_many({"webhook_id": webhook_id, **WAITING}, until)

    async def delete_all(self, webhook_id: str) -> None:
        with self._database.slow_operation_timeout():
            await self._documents.delete_many({"webhook_id": webhook_id})
