"""Withdrawals: a host's income, held by the journal and paid to their WeChat balance."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from config.sections import WithdrawSettings
from ledger.errors import EntryExists, NotCancellable, RequestIdReused, WithdrawalNotFound
from ledger.journal import JsonObject
from ledger.withdrawal_requests import Payee, request_key
from ledger.withdrawals import Withdrawal, WithdrawalChange, WithdrawalState
from services.errors import SecondPersonRequired, WithdrawOff
from services.gold.ledger import LockUsers
from services.payouts.transfers import TransferService, WithdrawalChanges
from services.payouts.withdrawable_income import WithdrawableIncome
from storage.errors import AlreadyDecided
from storage.gold.catalogue import ConfigStore
from storage.gold.ledger import LedgerStore
from storage.payouts.withdrawals import PayeeStore, WithdrawalStore

SUBMIT_SECONDS = 4.0
"""Longest wait of a request for WeChat Pay; the sweep continues after that. Less than the timeout
of the lock, for which a repeated request waits."""
STEP_SECONDS = 45.0
"""Time limit of a step that the request no longer waits for: as that of the sweep."""
SUBMIT_PERIOD = timedelta(seconds=SUBMIT_SECONDS)
POLL_SECONDS = 0.05
"""Interval at which a repeated request looks for the answer that another process waits for."""
USER, REFUND_CASE = "user", "refund_case"
"""`decided_by` of withdrawals that no operator has decided: cancelled by the user, held back."""
CANCELLED = "cancelled"


class WithdrawalPage(NamedTuple):
    """A page of a user's withdrawals, and the income that they could withdraw now."""

    matured: int
    withdrawals: list[Withdrawal]
    has_more: bool


class WithdrawalService:
    """Requests, decisions and cancellations; services/payouts/transfers.py talks to WeChat Pay."""

    def __init__(
        self,
        withdrawals: WithdrawalStore,
        payees: PayeeStore,
        ledger: LedgerStore,
        changes: WithdrawalChanges,
        transfers: TransferService,
        configs: ConfigStore,
        lock: LockUsers,
        settings: WithdrawSettings,
        is_permitted: Callable[[str], Awaitable[bool]],
        *,
        is_enabled: bool,
    ) -> None:
        """Take the parts that it uses.

        `is_permitted`: whether an operator may still approve; `is_enabled`: whether new withdrawals
        are taken.
        """
        self._withdrawals = withdrawals
        self._ledger = ledger
        self._changes = changes
        self._transfers = transfers
        self._lock = lock
        self._is_enabled = is_enabled
        self._income = WithdrawableIncome(withdrawals, payees, ledger, configs, lock, settings)
        self._is_permitted = is_permitted
        self._steps = set[asyncio.Task[Withdrawal | None]]()
        """Steps at WeChat Pay, also those that no request waits for: asyncio keeps no reference."""

    # ---- the user

    async def request(
        self, payee: Payee, income: int, request_id: str, real_name: str = ""
    ) -> Withdrawal:
        """Hold at most `income` and pay it once it is approved; repeated, the same withdrawal.

        Raises WithdrawOff, TooLittle, OverLimit, RealNameNeeded, IncomeNotMatured,
        WithdrawalsStopped or RequestIdReused.
        """
        async with self._lock(f"withdraw:{payee.user_id}"):  # repetitions wait for WeChat's answer
            key = request_key(payee.user_id, request_id)
            if stored := await self._ledger.find(key):
                return await self._repeated(stored, income)
            if not self._is_enabled:
                raise WithdrawOff
            try:
                withdrawal = await self._income.reserve(payee, income, request_id, real_name)
            except EntryExists:
                return await self._repeated(await self._ledger.find_committed(key), income)
            return await self._advance_in_time(withdrawal)

    async def page(self, user_id: str, number: int, size: int) -> WithdrawalPage:
        """Return page `number` (from 1) of the user's withdrawals, newest first."""
        found, has_more = await self._withdrawals.page_of_user(user_id, number, size)
        return WithdrawalPage(await self._income.shown(user_id), found, has_more)

    async def cancel(self, user_id: str, id_: str) -> Withdrawal:
        """Return it if it is not submitted yet, else ask WeChat Pay to cancel it.

        Repeated, WeChat Pay is not asked: the sweep goes on. Raises WithdrawalNotFound or
        NotCancellable.
        """
        found = await self._withdrawals.get(id_)
        if found.user_id != user_id:
            raise WithdrawalNotFound
        if found.is_cancelling:
            return found
        return await self._take_back(id_, USER, CANCELLED)

    # ---- operators

    async def approve(self, id_: str, by: str) -> Withdrawal:
        """Approve a withdrawal, which is submitted soon once enough operators have.

        Earlier approvals of operators who no longer have the role do not count. Repeated by the
        same operator after it was approved, it changes nothing. Raises WithdrawalNotFound,
        AlreadyDecided, or SecondPersonRequired if `by` has approved it already.
        """
        earlier = {*(await self._withdrawals.get(id_)).approvals} - {by}
        left = {name for name in earlier if not await self._is_permitted(name)}

        def approve(withdrawal: Withdrawal) -> WithdrawalChange:
            if withdrawal.state == WithdrawalState.REQUESTED:
                withdrawal = withdrawal.drop_approvals(left)
                if by in withdrawal.approvals:
                    raise SecondPersonRequired
                return WithdrawalChange(withdrawal.approve(by))
            if by not in withdrawal.approvals:
                raise AlreadyDecided
            return WithdrawalChange(withdrawal)

        return await self._changes.change(id_, approve)

    async def decline(self, id_: str, by: str, reason: str) -> Withdrawal:
        """Return it if it is not submitted yet, else have it cancelled at WeChat Pay.

        Repeated by the same operator, it changes nothing. Raises WithdrawalNotFound, or
        AlreadyDecided, also for one that is final.
        """
        now = datetime.now(UTC)

        def decline(withdrawal: Withdrawal) -> WithdrawalChange:
            if withdrawal.is_open and not withdrawal.decided_by:
                return withdrawal.give_back(by, reason, now)
            if withdrawal.decided_by != by:
                raise AlreadyDecided
            return WithdrawalChange(withdrawal)

        return await self._advance_in_time(await self._changes.change(id_, decline))

    # ---- refund cases

    async def cancel_open(self, user_id: str, reason: str) -> bool:
        """Take open withdrawals of a stopped user back; return True when none is open any more.

        A request at the time of the stop is either refused, or found here.

        A withdrawal that WeChat Pay does not know yet is returned at once. The others are cancelled
        there. That takes a while, and the user may confirm before it is done: call it again until
        it returns True. The income is then the user's again, or paid.
        """
        for withdrawal in await self._withdrawals.open_of(user_id):
            with suppress(NotCancellable):  # final since it was read
                await self._take_back(withdrawal.id, REFUND_CASE, reason)
        return not await self._withdrawals.open_of(user_id)

    # ---- steps

    async def _take_back(self, id_: str, by: str, reason: str) -> Withdrawal:
        now = datetime.now(UTC)
        withdrawal = await self._changes.change(id_, lambda saved: saved.give_back(by, reason, now))
        return await self._advance_in_time(withdrawal)

    async def _advance_in_time(self, withdrawal: Withdrawal) -> Withdrawal:
        """Take the next step at WeChat Pay; return the stored state if that takes too long.

        The step then goes on: only the answer to the first request has the package.
        """
        step = asyncio.create_task(self._run_step(withdrawal))
        self._steps.add(step)
        step.add_done_callback(self._steps.discard)
        done, _ = await asyncio.wait([step], timeout=SUBMIT_SECONDS)
        stored = step.result() if done else None
        return stored or await self._withdrawals.get(withdrawal.id)

    async def _run_step(self, withdrawal: Withdrawal) -> Withdrawal | None:
        """Take the next step; return None if it took longer than any call can.

        The sweep then continues.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(STEP_SECONDS):
                return await self._transfers.run_step(withdrawal)
        return None

    async def _repeated(self, stored: tuple[JsonObject, JsonObject], income: int) -> Withdrawal:
        """Return the withdrawal of an earlier request.

        Raises RequestIdReused if that asked for another income.
        """
        content, answer = stored
        if content["income"] != income:
            raise RequestIdReused
        return await self._submitted(await self._withdrawals.get(answer["withdrawal_id"]))

    async def _submitted(self, withdrawal: Withdrawal) -> Withdrawal:
        """Wait for another process that may be submitting a new withdrawal: one answer for all."""
        age = datetime.now(UTC) - withdrawal.requested_at
        for _ in range(int(SUBMIT_SECONDS / POLL_SECONDS) if age < SUBMIT_PERIOD else 0):
            if not withdrawal.is_being_submitted:
                break
            await asyncio.sleep(POLL_SECONDS)
            withdrawal = await self._withdrawals.get(withdrawal.id)
        return withdrawal
