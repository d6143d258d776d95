"""refund_cases: one document per refund case; `_id` begins the numbers of its refunds."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError

from ledger.refund_cases import IN_PROGRESS, OPEN_STATES, RefundCase
from ledger.refund_plan import GiftStep, HostStep, OrderStep
from storage.database import Collection, Database, Document, Session
from storage.documents import document_of, fields_of, known_fields, page
from storage.errors import OrderInRefund, RefundCaseNotFound
from storage.jobs.due import OpenCounts, claim_due, make_due_index, open_counts

Step = OrderStep | GiftStep | HostStep
STEPS: Mapping[str, type[Step]] = {
    "orders": OrderStep,
    "gifts": GiftStep,
    "hosts": HostStep,
}


class RefundCaseChanged(Exception):
    """The case was saved since it was read: read it again."""


class RefundCaseStore:
    """Cases, changed under the guard of their version; only changed steps are written."""

    def __init__(self, database: Database) -> None:
        self._cases: Collection = database.collection("refund_cases")

    async def make_indexes(self) -> None:
        newest = [("opened_at", -1), ("_id", -1)]
        await self._cases.create_index("request_id", unique=True)
        await self._cases.create_index(
            "open_orders", unique=True, partialFilterExpression={"open_orders": {"$exists": True}}
        )
        await self._cases.create_index("orders.number")
        await self._cases.create_index(newest)
        await self._cases.create_index([("state", 1), *newest])
        await self._cases.create_index([("user_id", 1), *newest])
        await make_due_index(self._cases)

    async def add(self, case: RefundCase) -> RefundCase:
        """Store a new case; if its request has one already, return that instead.

        Raises OrderInRefund if another open case has one of the orders.
        """
        row = document_of(case, "id")
        row |= {name: [fields_of(step) for step in getattr(case, name)] for name in STEPS}
        row["open_orders"] = [order.number for order in case.orders]
        try:
            await self._cases.insert_one(row)
        except DuplicateKeyError:
            if existing := await self.find_request(case.request_id):
                return existing
            raise OrderInRefund from None
        return await self.get(case.id)

    async def find_request(self, request_id: str) -> RefundCase | None:
        row = await self._cases.find_one({"request_id": request_id})
        return _case_from(row) if row else None

    async def get(self, id_: str, session: Session | None = None) -> RefundCase:
        """Raises RefundCaseNotFound."""
        row = await self._cases.find_one({"_id": id_}, session=session)
        if row is None:
            raise RefundCaseNotFound
        return _case_from(row)

    async def fields(self, id_: str, *names: str) -> Document:
        """These fields of a case, for the audit log; {} if it does not exist."""
        return await self._cases.find_one({"_id": id_}, {"_id": 0, **dict.fromkeys(names, 1)}) or {}

    async def save(
        self,
        session: Session | None,
        before: RefundCase,
        after: RefundCase,
        due_at: datetime | None = None,
    ) -> RefundCase:
        """Write what differs, unless the case was saved since `before`: RefundCaseChanged.

        `due_at`: when the sweep carries it on again, if it is in progress.
        """
        changes = _changes(before, after)
        changes["due_at"] = due_at if after.state in IN_PROGRESS else None
        update: Document = {"$set": changes, "$inc": {"version": 1}}
        if after.state in ("closed", "dropped"):
            update["$unset"] = {"open_orders": ""}
        where = {"_id": before.id, "version": before.version}
        result = await self._cases.update_one(where, update, session=session)
        if not result.matched_count:
            raise RefundCaseChanged
        return replace(after, version=before.version + 1)

    async def claim(self, lease: timedelta) -> RefundCase | None:
        """Lease the case that is due for the longest time, by the database's clock."""
        row = await claim_due(self._cases, lease)
        return _case_from(row) if row else None

    async def gifts_in_progress(self, user_id: str, session: Session) -> set[str]:
        """Keys of the gifts that confirmed cases of the user are about to reverse."""
        where = {"user_id": user_id, "state": {"$in": [*IN_PROGRESS]}}
        fields = {"gifts.key": 1, "gifts.state": 1}
        rows = await self._cases.find(where, fields, session=session).to_list()
        gifts = (gift for row in rows for gift in row["gifts"])
        return {gift["key"] for gift in gifts if gift["state"] == "waiting"}

    async def with_order(self, number: str) -> list[RefundCase]:
        """Confirmed cases about an order, the latest first."""
        where = {"orders.number": number, "state": {"$in": [*IN_PROGRESS, "closed"]}}
        rows = await self._cases.find(where).sort("opened_at", -1).to_list()
        return [_case_from(row) for row in rows]

    async def open_counts(self) -> OpenCounts:
        """Counts for the metrics; `oldest`: since when a case is confirmed."""
        unwind = [{"$unwind": "$orders"}]
        return await open_counts(self._cases, OPEN_STATES, "$decided_at", unwind, "orders.problem")

    async def page(
        self, user_id: str, state: str, after: str, limit: int
    ) -> tuple[list[RefundCase], str | None]:
        """Cases for operators, newest first, and the next cursor; raises InvalidCursor.

        Without gifts and hosts, of which a case may have thousands.
        """
        where: Document = {"user_id": user_id} if user_id else {}
        if state:
            where["state"] = state
        fields = {"gifts": 0, "hosts": 0}
        rows, cursor = await page(self._cases, where, "opened_at", after, limit, fields=fields)
        return [_case_from(row) for row in rows], cursor


def _changes(before: RefundCase, after: RefundCase) -> Document:
    """Fields to set; of lists of the same length, only the elements that were replaced."""
    changes: Document = {}
    for name in RefundCase.__slots__:
        old, new = getattr(before, name), getattr(after, name)
        if new is old or name == "version":
            continue
        if name not in STEPS:
            changes |= {name: new} if new != old else {}
        elif len(new) == len(old):
            pairs = enumerate(zip(old, new, strict=True))
            replaced = [n for n, (step, other) in pairs if step is not other and step != other]
            changes |= {f"{name}.{n}": fields_of(new[n]) for n in replaced}
        else:
            changes[name] = [fields_of(step) for step in new]
    return changes


def _case_from(row: Document) -> RefundCase:
    """Parse a case, without steps that were not read."""
    steps = {
        name: tuple(kind(**known_fields(kind, step)) for step in row.get(name, ()))
        for name, kind in STEPS.items()
    }
    return RefundCase(**{**known_fields(RefundCase, row), "id": row["_id"], **steps})


def new_id() -> str:
    """29 of [0-9A-Za-z], so that a refund number has 31; not guessable (56 random bits)."""
    return f"R{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(7)}"
