"""Carries confirmed refund cases on: gifts, hosts' withdrawals, refunds at the providers."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from core.errors import TryAgain, WriteConflict
from ledger.journal import reversal_key
from ledger.recharge import RefundState
from ledger.refund_cases import RefundCase
from ledger.refund_plan import OrderStep, gift_reversal
from services.gold.ledger import LockUsers
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from services.payouts.withdrawals import WithdrawalService
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
NO_PROVIDER = "no_provider"


class _IncomeMissing(Exception):
    """The host has less free income than the gift gave, and may have open withdrawals."""


class RefundCaseSweep(ClaimedJob[RefundCase]):
    """Each step is one transaction with its journal entry: a dead process loses none."""

    def __init__(
        self,
        stores: Stores,
        withdrawals: WithdrawalService,
        providers: Mapping[str, PaymentClient],
        lock: LockUsers,
    ) -> None:
        """Take `providers` by name, as stored in orders."""
        super().__init__(
            "refund_cases",
            one_by_one(partial(stores.refund_cases.claim, CLAIM_LEASE)),
            self._run_step,
            concurrency=1,
            idle=IDLE_SECONDS,
        )
        self._cases = stores.refund_cases
        self._orders = stores.orders
        self._ledger = stores.ledger
        self._payees = stores.payees
        self._withdrawals = withdrawals
        self._providers = providers
        self._lock = lock

    async def _run_step(self, case: RefundCase) -> None:
        # The case is due when its lease lapses, or as a notice or a process that saved it meanwhile
        # has set.
        with suppress(TryAgain):
            case = await self._reverse_gifts(case)
            if hosts := case.hosts_to_resume:
                for host in hosts:
                    await self._payees.resume(host, case.id)
                case = await self._save(None, case, case.resume_hosts(hosts, _now()))
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
            try:
                case = await self._reverse(case, position, may_owe=host in cancelled)
                continue
            except _IncomeMissing:
                case = await self._stop(case, host)
            if await self._withdrawals.cancel_open(host, FOR_HOSTS):
                cancelled.add(host)
                case = await self._reverse(case, position, may_owe=True)
            else:
                blocked.add(host)
        return case

    async def _reverse(self, case: RefundCase, position: int, *, may_owe: bool) -> RefundCase:
        gift = case.gifts[position]

        async def work(tx: Any) -> RefundCase:
            if await self._ledger.find(reversal_key(gift.key), tx):
                return await self._save(tx, case, case.skip_gift(position, _now()))
            free = (await self._ledger.balance(tx, gift.host)).income
            if free < gift.income and not may_owe:
                raise _IncomeMissing
            entry = await self._ledger.entry(gift.key)
            assert entry is not None
            debt = await self._ledger.debt(tx, case.user_id)
            reversal = gift_reversal(
                entry, gift.host, by=case.id, reason=case.reason, debt=debt, free=free
            )
            await self._ledger.move(tx, reversal.lines)
            await self._ledger.write(tx, reversal, None)
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
            return await self._save(tx, case, case.stop_host(host, _now()))

        return await self._ledger.run_transaction(work)

    # ---- money

    async def _refund(self, case: RefundCase, step: OrderStep) -> RefundCase:
        """Ask the provider for a refund, or for the state of the one requested."""
        order, provider = await self._orders.find(step.number), self._providers.get(step.provider)
        assert order is not None
        if order.is_refunded_by_apple and step.state == "taken":
            return await self._save(None, case, case.leave_to_apple(step.number, _now()))
        if provider is None:
            return await self._note_problem(case, step, NO_PROVIDER)
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
