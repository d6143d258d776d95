"""Refund cases: opened with a preview, confirmed or dropped by operators, closed by WeChat."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from core.errors import WriteConflict
from core.retry import retry_on_conflict
from ledger.errors import RequestIdReused
from ledger.recharge import Refund, reversal_entry
from ledger.refund_cases import RefundCase
from ledger.refund_plan import GiftSelection, OrderStep, RefundPlan, make_plan, order_step
from services.errors import NotRefundable, RefundChanged
from services.gold.ledger import LockUsers
from services.operators.approvals import ApprovalService
from storage.documents import dated_id
from storage.errors import AlreadyDecided, OrderNotFound
from storage.stores import Stores


class RefundCaseService:
    """Applies decisions and notices; services/refunds/refund_sweep.py continues confirmed cases."""

    def __init__(self, stores: Stores, approvals: ApprovalService, lock: LockUsers) -> None:
        self._cases = stores.refund_cases
        self._orders = stores.orders
        self._ledger = stores.ledger
        self._spent_gold = stores.spent_gold
        self._approvals = approvals
        self._lock = lock

    async def open(
        self, user_id: str, orders: Sequence[str], reason: str, request_id: str, by: str
    ) -> RefundCase:
        """Open a case with its preview, moving no gold. A repeated request returns the same case.

        Raises UserNotFound, OrderNotFound, NotRefundable, OrderInRefund or RequestIdReused.
        """
        numbers, id_ = list(dict.fromkeys(orders)), dated_id("R")
        case = await self._cases.find_request(request_id)
        if case is None:
            plan = await self._ledger.run_transaction(
                lambda tx: self._plan(tx, id_, user_id, numbers)
            )
            new = RefundCase(
                *(id_, request_id, user_id, reason, by, datetime.now(UTC)),
                *(plan.orders, plan.gifts, plan.hosts, plan.unspent),
            )
            case = await self._cases.open(new)
        if not case.asks_for(user_id, numbers):
            raise RequestIdReused
        return case

    async def confirm(self, id_: str, by: str, reason: str) -> RefundCase:
        """Take the gold of the orders back, and let the sweep do the rest. Idempotent.

        Raises RefundCaseNotFound, AlreadyDecided, SecondPersonRequired, RequesterNotAllowed, or
        RefundChanged if the preview is out of date: the case then has a new preview.
        """
        user_id = (await self._cases.get(id_)).user_id

        async def confirm(tx: Any) -> RefundCase:
            case = await self._cases.get(id_, tx)
            if case.state not in ("opened", "dropped") and case.decided_by == by:
                return case
            if case.state != "opened":
                raise AlreadyDecided
            await self._approvals.authorize(tx, case.opened_by, by, case.gold)
            numbers = [order.number for order in case.orders]
            plan = await self._plan(tx, id_, user_id, numbers)
            if case.differs_from(plan):
                return await self._cases.save(case, case.with_plan(plan), tx)
            confirmed = case.with_plan(plan).confirm(by, reason, datetime.now(UTC))
            for order in confirmed.orders:
                await self._take(tx, confirmed, order)
            return await self._cases.save(case, confirmed, tx)

        async with self._lock(user_id):
            confirmed = await self._ledger.run_transaction(confirm)
        if confirmed.state == "opened":
            raise RefundChanged
        return confirmed

    async def drop(self, id_: str, by: str, reason: str) -> RefundCase:
        """End a case that is not confirmed. Idempotent.

        Raises RefundCaseNotFound or AlreadyDecided.
        """
        case = await self._cases.get(id_)
        if (case.state, case.decided_by) == ("dropped", by):
            return case
        if case.state != "opened":
            raise AlreadyDecided
        try:
            return await self._cases.save(case, case.drop(by, reason, datetime.now(UTC)))
        except WriteConflict:
            raise AlreadyDecided from None

    async def settle(self, id_: str, number: str, by: str, reason: str) -> RefundCase:
        """End the step of an order that was refunded elsewhere or never will be. Idempotent.

        Raises RefundCaseNotFound, OrderNotFound, OrderNotSettleable, AlreadyDecided, or
        SecondPersonRequired as for `confirm`.
        """

        async def settle(tx: Any) -> RefundCase:
            case = await self._cases.get(id_, tx)
            order = case.order(number)
            if order is None:
                raise OrderNotFound
            if order.state == "settled":
                if order.settled_by == by:
                    return case
                raise AlreadyDecided
            settled = case.settle(number, by, reason, datetime.now(UTC))
            if by == case.opened_by:
                await self._approvals.authorize(tx, by, by, order.gold)
            return await self._cases.save(case, settled, tx)

        return await self._ledger.run_transaction(settle)

    async def apply(self, refund: Refund) -> bool:
        """Record a refund notice of WeChat; return False if no case waits for it. Idempotent."""

        async def apply() -> bool:
            cases = await self._cases.with_order(refund.order)
            case = next((case for case in cases if case.waits_for(refund)), None)
            if case is None:
                return False
            if not any(step.provider_refund for step in case.orders if step.number == refund.order):
                await self._cases.save(case, case.apply(refund, datetime.now(UTC)))
            return True

        return await retry_on_conflict(apply)

    async def _plan(
        self, tx: Any, case_id: str, user_id: str, numbers: Sequence[str]
    ) -> RefundPlan:
        """Plan what refunding these orders of the user takes back, from one consistent read.

        Raises UserNotFound, OrderNotFound or NotRefundable.
        """
        available = (await self._ledger.balance(tx, user_id)).gold
        steps, credited_at = list[OrderStep](), list[datetime]()
        for position, number in enumerate(numbers, 1):
            order = await self._orders.find(number, tx)
            if order is None or order.user_id != user_id:
                raise OrderNotFound
            credit = await self._ledger.credit_of(number)
            refunded = await self._orders.refunded_fen(number, tx)
            step = order_step(order, refunded, f"{case_id}{position:02}")
            if credit is None or step is None:
                raise NotRefundable
            steps.append(step)
            credited_at.append(credit.at)
        missing = sum(step.gold for step in steps) - available
        selection = GiftSelection(missing, await self._cases.gifts_in_progress(user_id, tx))
        if missing > 0:
            async with aclosing(self._spent_gold.gifts(tx, user_id, min(credited_at))) as gifts:
                async for gift in gifts:
                    selection.offer(gift)
                    if selection.is_complete:
                        break
        hosts = sorted({gift.host for gift in selection.chosen})
        incomes = await self._spent_gold.incomes(tx, hosts)
        return make_plan(steps, available, selection.chosen, incomes)

    async def _take(self, tx: Any, case: RefundCase, step: OrderStep) -> None:
        """Take the gold of an order back, before the refund is requested from WeChat."""
        order = await self._orders.find(step.number, tx)
        assert order is not None
        refund = Refund(step.provider, step.number, step.refund, step.fen, own=step.refund)
        await self._orders.refund(tx, step.number, refund)
        available = (await self._ledger.balance(tx, case.user_id)).gold
        entry = reversal_entry(order, refund, step.gold, available)
        await self._ledger.move(tx, entry.lines)
        answer = (await self._ledger.balance(tx, case.user_id))._asdict()
        content = {**entry.content, "case": case.id}
        written = replace(
            entry, by=case.operators, content=content, answer=answer, note=case.reason
        )
        await self._ledger.write(tx, written, None)
