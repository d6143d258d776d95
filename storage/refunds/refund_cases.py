"""refund_cases: one document per refund case; `_id` begins the numbers of its refunds."""

from collections.abc import Mapping
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from ledger.refund_cases import IN_PROGRESS, OPEN_STATES, RefundCase
from ledger.refund_plan import GiftStep, HostStep, OrderStep
from people.user_events import RefundMoved
from rooms.events import NewEvent
from storage.database import Document, Session
from storage.documents import fields_of, known_fields
from storage.errors import OrderInRefund, RefundCaseNotFound
from storage.jobs.due import OpenCounts, open_counts
from storage.versioned import ClaimedStore
from storage.webhooks.payloads import OrderRefundedPayload

Step = OrderStep | GiftStep | HostStep
STEPS: Mapping[str, type[Step]] = {"orders": OrderStep, "gifts": GiftStep, "hosts": HostStep}


class RefundCaseStore(ClaimedStore[RefundCase]):
    """Cases, of which only changed steps are written.

    Lists leave out gifts and hosts, of which a case may have thousands.
    """

    name, kind, newest_by = "refund_cases", RefundCase, "opened_at"
    missing = RefundCaseNotFound
    unlisted = ("gifts", "hosts")

    async def make_indexes(self) -> None:
        await super().make_indexes()
        await self._documents.create_index("request_id", unique=True)
        await self._documents.create_index(
            "open_orders", unique=True, partialFilterExpression={"open_orders": {"$exists": True}}
        )
        await self._documents.create_index("orders.number")

    async def open(self, case: RefundCase) -> RefundCase:
        """Store a new case; if its request has one already, return that instead.

        Raises OrderInRefund if another open case has one of the orders.
        """
        try:
            await self.add(case)
        except DuplicateKeyError:
            if existing := await self.find_request(case.request_id):
                return existing
            raise OrderInRefund from None
        return await self.get(case.id)

    async def find_request(self, request_id: str) -> RefundCase | None:
        return await self._find_one({"request_id": request_id})

    async def fields(self, id_: str, *names: str) -> Document:
        """Return these fields of a case, for the audit log; {} if it does not exist."""
        shown = {"_id": 0, **dict.fromkeys(names, 1)}
        return await self._documents.find_one({"_id": id_}, shown) or {}

    async def gifts_in_progress(self, user_id: str, session: Session) -> set[str]:
        """Return keys of the gifts that confirmed cases of the user are about to reverse."""
        where = {"user_id": user_id, "state": {"$in": [*IN_PROGRESS]}}
        fields = {"gifts.key": 1, "gifts.state": 1}
        rows = await self._documents.find(where, fields, session=session).to_list()
        gifts = (gift for row in rows for gift in row["gifts"])
        return {gift["key"] for gift in gifts if gift["state"] == "waiting"}

    async def with_order(self, number: str) -> list[RefundCase]:
        """Return confirmed cases about an order, the latest first."""
        where = {"orders.number": number, "state": {"$in": [*IN_PROGRESS, "closed"]}}
        rows = await self._documents.find(where).sort("opened_at", -1).to_list()
        return [self.parse(row) for row in rows]

    async def open_counts(self) -> OpenCounts:
        """Return counts for the metrics; `oldest`: since when a case is confirmed."""
        unwind = [{"$unwind": "$orders"}]
        return await open_counts(
            self._documents, OPEN_STATES, "$decided_at", unwind, "orders.problem"
        )

    @classmethod
    def parse(cls, row: Document) -> RefundCase:
        """Return a case, without steps that were not read."""
        steps = {
            name: tuple(kind(**known_fields(kind, step)) for step in row.get(name, ()))
            for name, kind in STEPS.items()
        }
        return super().parse({**row, **steps})

    def _document(self, value: RefundCase) -> Document:
        steps = {name: [fields_of(step) for step in getattr(value, name)] for name in STEPS}
        open_orders = [order.number for order in value.orders]
        return super()._document(value) | steps | {"open_orders": open_orders}

    def _user_events(self, before: RefundCase, after: RefundCase) -> list[NewEvent]:
        """Return an event for each order whose refund has moved; a preview moves nothing."""
        return [
            NewEvent("refund", RefundMoved(order=step.number, gold=step.gold, state=step.state))
            for step in _moved(before, after)
            if step.state != "waiting"
        ]

    def _webhook_events(self, before: RefundCase | None, after: RefundCase) -> list[NewEvent]:
        paid_back = [step for step in _moved(before, after) if step.state == "refunded"]
        user_id = after.user_id
        return [
            NewEvent(
                "order.refunded",
                OrderRefundedPayload(
                    order=step.number, user_id=user_id, gold=step.gold, fen=step.fen
                ),
            )
            for step in paid_back
        ]

    def _due_at(self, value: RefundCase) -> datetime | None:
        return value.due_at if value.state in IN_PROGRESS else None

    def _update(self, before: RefundCase, after: RefundCase) -> Document:
        """Return the update; of a list as long as before, it sets only the replaced elements."""
        changes: Document = {}
        for name in RefundCase.__slots__:
            old, new = getattr(before, name), getattr(after, name)
            if name in STEPS and len(new) == len(old):
                pairs = enumerate(zip(old, new, strict=True))
                replaced = (n for n, (was, step) in pairs if step is not was and step != was)
                changes |= {f"{name}.{n}": fields_of(new[n]) for n in replaced}
            elif new != old:
                changes[name] = [fields_of(step) for step in new] if name in STEPS else new
        ended = {"$unset": {"open_orders": ""}} if after.state in ("closed", "dropped") else {}
        return {"$set": changes, **ended}


def _moved(before: RefundCase | None, after: RefundCase) -> list[OrderStep]:
    earlier = {order.number: order.state for order in before.orders} if before else {}
    return [order for order in after.orders if order.state != earlier.get(order.number)]
