"""Requests that a second operator confirms: large movements of gold, and changes of its value."""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from ledger.errors import RequestIdReused
from ledger.gifts import price_fields
from ledger.journal import JsonObject, Unit, debt_key, grant_key, reversal_key
from services.errors import RequesterNotAllowed, SecondPersonRequired
from services.gold.catalogue import CatalogueService
from services.gold.ledger import InTransaction, LedgerService
from services.operators.roles import Access, Operator, Role
from storage.database import Document
from storage.errors import AlreadyDecided
from storage.gold.catalogue import CatalogueStore
from storage.operators.approvals import Approval
from storage.stores import Stores

LIMIT_PERIOD = timedelta(days=1)
CatalogueKind = Literal["gift", "config", "block"]


class ApprovalService:
    """Books up to `limit` gold of an operator a day; more waits for another operator's decision.

    A change of a rate, or of what a recharge block gives for its price, always waits; once it is
    confirmed, it applies from the next midnight in China on.

    The limit counts all that the operator has moved alone in the last 24 hours, in every process,
    because bookings of one operator follow each other. The decision and the entry are one
    transaction, so a confirmed request is recorded exactly once.
    """

    def __init__(
        self, stores: Stores, ledger: LedgerService, catalogue: CatalogueService, limit: int
    ) -> None:
        """Take as `limit` the most gold that one operator moves alone in a day; 0: no limit."""
        self._approvals = stores.approvals
        self._operators = stores.operators
        self._journal = stores.ledger
        self._ledger = ledger
        self._catalogue = catalogue
        self.catalogues: Mapping[str, CatalogueStore] = {
            "gift": stores.gifts,
            "config": stores.configs,
            "block": stores.blocks,
        }
        self._limit = limit

    async def grant(
        self, user_id: str, gold: int, reason: str, request_id: str, by: str
    ) -> JsonObject | Approval:
        """Grant as LedgerService.grant, or return the request that a second operator confirms."""
        arguments = {"request_id": request_id}
        request = Approval(grant_key(request_id), "grant", user_id, gold, reason, by, arguments)
        return await self._book_or_ask(request)

    async def pay_off_debt(
        self,
        user_id: str,
        gold: int,
        reason: str,
        request_id: str,
        by: str,
        *,
        by_house: bool,
        unit: Unit = "gold",
    ) -> JsonObject | Approval:
        """Pay off as LedgerService.pay_off_debt; return the request if another one confirms it."""
        arguments = {"request_id": request_id, "by_house": by_house, "unit": unit}
        request = Approval(debt_key(request_id), "settle", user_id, gold, reason, by, arguments)
        return await self._book_or_ask(request)

    async def reverse(self, key: str, reason: str, by: str) -> JsonObject | Approval:
        """Reverse as LedgerService.reverse; return the request if another one confirms it.

        A declined or expired request may be made again.
        """
        gold = await self._ledger.reversible_amount(key)
        request = Approval(reversal_key(key), "reverse", key, gold, reason, by, {})
        await self._approvals.set_aside(request.key)
        return await self._book_or_ask(request)

    async def change_catalogue(
        self, kind: CatalogueKind, number: int | None, fields: Document | None, by: str
    ) -> Document | Approval:
        """Add (without `number`), edit or remove (without `fields`) a row of a catalogue.

        Return the row, {} if it was removed, or the request, if a second operator has to confirm
        it. The request has the whole row, which is stored exactly as it was confirmed.
        """
        store = self.catalogues[kind]
        before = {} if number is None else await store.get(number)
        before.pop("next", None)
        after = {} if fields is None else {**before, **fields}
        worth = price_fields(after)
        is_same = all(before.get(name) == after[name] for name in worth)
        if is_same or not self._limit:
            # Without them: another change may have been confirmed since `before` was read.
            same = worth if is_same else ()
            rest = fields and {name: value for name, value in fields.items() if name not in same}
            return await self._catalogue.change(store, before, rest)
        await self._catalogue.check_rate(before, fields)
        assert kind != "gift"  # the price of a gift moves no worth, so that it is the same above
        rows = {"before": json.dumps(before), "after": json.dumps(after)}
        row = after or before
        on, gold = str(row.get("key", row.get("id", ""))), row.get("gold", 0)
        key = f"{kind}:{secrets.token_hex(12)}"
        return await self._approvals.request(Approval(key, kind, on, gold, "", by, rows))

    async def confirm(self, id_: str, by: str, reason: str) -> Approval:
        """Carry out a request of another operator; repeated by the same one, return the same.

        Raises ApprovalNotFound, SecondPersonRequired, RequesterNotAllowed, AlreadyDecided, or what
        carrying it out raises: the request then waits on.
        """
        approval = await self._approvals.get(id_)
        if approval.state == "done" and approval.decided_by == by:
            return approval
        if approval.state != "waiting":
            raise AlreadyDecided
        if approval.by == by:
            raise SecondPersonRequired
        is_of_catalogue = approval.kind in self.catalogues
        await self._check_requester(approval.by, "admin" if is_of_catalogue else "finance")

        async def decide(session: Any) -> None:
            await self._approvals.decide(id_, "done", by, reason, session)

        with suppress(AlreadyDecided):  # at the same time, perhaps by the same operator
            if is_of_catalogue:
                await self._change(approval, decide)
            else:
                await self._execute(approval, f"{approval.by}+{by}", decide)
        if (await self._approvals.get(id_)).state == "waiting":  # the entry was there already
            await self._approvals.decide(id_, "done", by, reason)
        decided = await self._approvals.get(id_)
        if (decided.state, decided.decided_by) != ("done", by):
            raise AlreadyDecided
        return decided

    async def decline(self, id_: str, by: str, reason: str) -> Approval:
        """Decline a request, or withdraw one's own. Raises ApprovalNotFound or AlreadyDecided."""
        approval = await self._approvals.get(id_)
        if approval.state == "declined" and approval.decided_by == by:
            return approval
        await self._approvals.decide(id_, "declined", by, reason)
        return await self._approvals.get(id_)

    async def authorize(self, session: Any, requester: str, by: str, gold: int) -> None:
        """Check that `by` may confirm in this transaction what `requester` has prepared.

        Above the limit of a day another operator has to. Raises SecondPersonRequired or
        RequesterNotAllowed.
        """
        if not self._limit:
            return
        if requester == by:
            await self._check_limit(session, by, gold)
        else:
            await self._check_requester(requester)

    async def is_permitted(self, name: str, access: Access = "finance") -> bool:
        """Return whether an operator still has the account and role that their request needs."""
        account = await self._operators.find(name)
        if account is None or account.disabled:
            return False
        return Operator(name, cast(Role, account.role)).may(access)

    async def _check_requester(self, name: str, access: Access = "finance") -> None:
        if not await self.is_permitted(name, access):
            raise RequesterNotAllowed

    async def _change(self, approval: Approval, decide: InTransaction) -> None:
        store = self.catalogues[approval.kind]
        fields = {name: value for name, value in approval.after.items() if name != "id"} or None

        async def change(tx: Any) -> None:
            await decide(tx)
            await self._catalogue.write(store, approval.before, fields, tx)

        await self._journal.run_transaction(change)
        self._catalogue.invalidate()

    async def _book_or_ask(self, request: Approval) -> JsonObject | Approval:
        if not self._limit or await self._journal.find(request.key):
            return await self._execute(request, request.by)
        # A request that waited once is not recorded by one operator later.
        if await self._approvals.find_key(request.key) is None:
            with suppress(SecondPersonRequired):  # beyond the limit, nothing is recorded
                return await self._execute(
                    request,
                    request.by,
                    lambda tx: self._check_limit(tx, request.by, request.gold),
                )
        stored = await self._approvals.request(request)
        asked = (request.on, request.gold, request.arguments)
        if (stored.on, stored.gold, stored.arguments) != asked:
            raise RequestIdReused
        return stored

    async def _check_limit(self, session: Any, by: str, gold: int) -> None:
        await self._operators.mark_booking(by, session)
        since = datetime.now(UTC) - LIMIT_PERIOD
        if await self._journal.moved_by(by, since, session) + gold > self._limit:
            raise SecondPersonRequired

    async def _execute(
        self, approval: Approval, by: str, in_transaction: InTransaction | None = None
    ) -> JsonObject:
        """Book the request in the name of `by`."""
        ledger = self._ledger
        if approval.kind == "reverse":
            return await ledger.reverse(
                approval.on, approval.reason, by=by, in_transaction=in_transaction
            )
        book = ledger.grant if approval.kind == "grant" else ledger.pay_off_debt
        return await book(
            approval.on,
            approval.gold,
            approval.reason,
            by=by,
            in_transaction=in_transaction,
            **approval.arguments,
        )
