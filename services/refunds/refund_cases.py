"""Refund cases: opened with a preview, decided by operators, and carried on to their end."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from core.errors import TryAgain, WriteConflict
from ledger.errors import RequestIdReused
from ledger.journal import reversal_key
from ledger.recharge import Refund, RefundState, reversal_entry
from ledger.refund_cases import RefundCase
from ledger.refund_plan import (
    GiftSelection,
    OrderStep,
    RefundPlan,
    gift_reversal,
    make_plan,
    order_step,
)
from services.errors import NotRefundable, RefundChanged
from services.gold.ledger import LockUsers
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from services.operators.approvals import ApprovalService
from services.payouts.withdrawals import WithdrawalService
from storage.documents import dated_id
from storage.errors import AlreadyDecided, OrderNotFound
from storage.stores import Stores
from tencent.clients import PaymentClient
from tencent.errors import CALL_ERRORS

log = structlog.get_logger("qlive.refunds")

CLAIM_LEASE = timedelta(minutes=2)
"""Renewed with every change; longer than a call to a provider takes with its retry. Two processes
that work on one case do no harm: steps are guarded by its version, calls by our numbers."""
IDLE_SECONDS = 2.0
FOR_HOSTS = "refund_case"
"""The reason of a withdrawal that is returned: a code, for hosts in their language."""
FOR_USERS = "退款"
"""Shown by WeChat to the user whose order is refunded."""


class RefundCaseService:
    """Opens and decides refund cases, and carries confirmed ones on.

    Each step is one transaction with its journal entry: a dead process loses none.
    """

    def __init__(
        self,
        stores: Stores,
        approvals: ApprovalService,
        withdrawals: WithdrawalService,
        providers: Mapping[str, PaymentClient],
        lock: LockUsers,
    ) -> None:
        """Take `providers` by name, as stored in orders."""
        self._cases = stores.refund_cases
        self._orders = stores.orders
        self._ledger = stores.ledger
        self._spent_gold = stores.spent_gold
        self._payees = stores.payees
        self._approvals = approvals
        self._withdrawals = withdrawals
        self._providers = providers
        self._lock = lock
        self.job = ClaimedJob(
            "refund_cases",
            one_by_one(partial(stores.refund_cases.claim, CLAIM_LEASE)),
            self._run_step,
            concurrency=1,
            idle=IDLE_SECONDS,
        )
        """Carries confirmed cases on."""

    # ---- decisions and callbacks

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
            new = RefundCase(id_, request_id, user_id, reason, by, _now(), *plan)
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
            confirmed = case.with_plan(plan).confirm(by, reason, _now())
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

        def drop(case: RefundCase) -> RefundCase:
            if (case.state, case.decided_by) == ("dropped", by):
                return case
            if case.state != "opened":
                raise AlreadyDecided
            return case.drop(by, reason, _now())

        return await self._cases.change(id_, drop)

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
            settled = case.settle(number, by, reason, _now())
            if by == case.opened_by:
                await self._approvals.authorize(tx, by, by, order.gold)
            return await self._cases.save(case, settled, tx)

        return await self._ledger.run_transaction(settle)

    async def apply(self, refund: Refund) -> bool:
        """Record a refund callback of WeChat; return False if no case waits for it. Idempotent."""

        def apply(case: RefundCase) -> RefundCase:
            step = case.order(refund.order)
            is_noted = step is None or bool(step.provider_refund)
            return case if is_noted else case.apply(refund, _now())

        cases = await self._cases.with_order(refund.order)
        case = next((case for case in cases if case.waits_for(refund)), None)
        return bool(case and (await self._cases.change(case.id, apply)).waits_for(refund))

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
        content = {**entry.content, "case": case.id}
        entry = replace(entry, by=case.operators, content=content, note=case.reason)
        await self._ledger.post(tx, entry, case.user_id)

    # ---- confirmed cases

    async def _run_step(self, case: RefundCase) -> None:
        # The case is due when its lease lapses, or as a callback or a process that saved it has set
        # meanwhile.
        with suppress(TryAgain):
            case = await self._reverse_gifts(case)
            if hosts := case.hosts_to_resume:
                for host in hosts:
                    await self._payees.resume(host, case.id)
                case = await self._save(None, case, case.mark_hosts(hosts, _now(), stopped=False))
            for order in case.orders_to_refund:
                case = await self._refund(case, order)
            case = await self._save(None, case, case.wait(_now()))
            log.info("refund_case_carried_on", case=case.id, state=case.state)

    async def _save(self, tx: Any, before: RefundCase, after: RefundCase) -> RefundCase:
        """Save the case, whose lease a step renews. Raises TryAgain if it was saved since."""
        if after == before:  # the provider has answered the same as before
            return before
        if after.due_at == before.due_at:
            after = replace(after, due_at=_now() + CLAIM_LEASE)
        try:
            return await self._cases.save(before, after, tx)
        except WriteConflict:  # no repetition of the transaction would help
            raise TryAgain from None

    # ---- gifts

    async def _reverse_gifts(self, case: RefundCase) -> RefundCase:
        """Reverse what can be reversed now; gifts to hosts with open withdrawals may wait."""
        cancelled, blocked = set[str](), set[str]()
        for position in case.waiting_gifts:
            host = case.gifts[position].host
            if host in blocked:
                continue
            case = await self._reverse(case, position, may_owe=host in cancelled)
            if case.gifts[position].state != "waiting":
                continue
            case = await self._stop(case, host)
            is_free = False
            with suppress(TryAgain):  # the gifts to this host wait, not those to others
                is_free = await self._withdrawals.cancel_open(host, FOR_HOSTS)
            if is_free:
                cancelled.add(host)
                case = await self._reverse(case, position, may_owe=True)
            else:
                blocked.add(host)
        return case

    async def _reverse(self, case: RefundCase, position: int, *, may_owe: bool) -> RefundCase:
        """Reverse a gift, unless its host has less income than it gave and may not owe it."""
        gift = case.gifts[position]

        async def work(tx: Any) -> RefundCase:
            if await self._ledger.find(reversal_key(gift.key), tx):
                return await self._save(tx, case, case.skip_gift(position, _now()))
            free = (await self._ledger.balance(tx, gift.host)).income
            if free < gift.income and not may_owe:
                return case
            entry = await self._ledger.entry(gift.key)
            assert entry is not None
            debt = await self._ledger.debt(tx, case.user_id)
            reversal = gift_reversal(
                entry, gift.host, by=case.id, reason=case.reason, debt=debt, free=free
            )
            await self._ledger.post(tx, reversal)
            await self._ledger.subtract_from_rankings(tx, gift.key)
            done = case.reverse_gift(position, min(free, gift.income), _now())
            return await self._save(tx, case, done)

        async with self._lock(case.user_id, gift.host):
            return await self._ledger.run_transaction(work)

    # ---- withdrawals of hosts

    async def _stop(self, case: RefundCase, host: str) -> RefundCase:
        """Stop new withdrawals of a host, together with the note that we have to resume them."""
        if case.is_stopped(host):
            return case

        async def work(tx: Any) -> RefundCase:
            await self._payees.stop(tx, host, case.id)
            return await self._save(tx, case, case.mark_hosts([host], _now(), stopped=True))

        return await self._ledger.run_transaction(work)

    # ---- money

    async def _refund(self, case: RefundCase, step: OrderStep) -> RefundCase:
        """Ask the provider for a refund, or for the state of the one requested."""
        order, provider = await self._orders.find(step.number), self._providers.get(step.provider)
        assert order is not None
        if order.is_refunded_by_apple and step.state == "taken":
            return await self._save(None, case, case.leave_to_apple(step.number, _now()))
        if provider is None:
            return await self._note_problem(case, step, "no_provider")
        try:
            answer: RefundState | None = None
            if step.state == "requested":
                answer = await provider.refund_state(order, step.refund)
            if answer is None:  # not requested yet, or not known there
                answer = await provider.refund(order, step.refund, step.fen, FOR_USERS)
        except CALL_ERRORS as error:
            return await self._note_problem(case, step, error.code)
        log.info("refund_answered", case=case.id, order=step.number, answer=answer)
        return await self._save(None, case, case.note_answer(step.number, answer, _now()))

    async def _note_problem(self, case: RefundCase, step: OrderStep, problem: str) -> RefundCase:
        log.warning("refund_postponed", case=case.id, order=step.number, problem=problem)
        return await self._save(None, case, case.note_problem(step.number, problem, _now()))


def _now() -> datetime:
    return datetime.now(UTC)
