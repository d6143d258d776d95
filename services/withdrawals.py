"""Withdrawals: a host's income, held by the journal and paid to their WeChat balance."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from ledger.bills import WithdrawalState
from ledger.errors import (
    EntryExists,
    NotCancellable,
    RequestIdReused,
    WithdrawalNotFound,
    WithdrawalsStopped,
)
from ledger.journal import JsonObject
from ledger.ranking import day_interval, day_of
from ledger.withdrawal_entries import withdrawal_key
from ledger.withdrawal_requests import (
    Payee,
    WithdrawalLimits,
    check_request,
    matured_income,
    request_entry,
    request_withdrawal,
)
from ledger.withdrawals import Withdrawal, WithdrawalChange
from services.bills import BillService
from services.catalogue import CatalogueService
from services.errors import SecondPersonRequired, WithdrawOff
from services.ledger import LockUsers
from services.recent_income import RecentIncomeCache
from services.withdrawal_changes import WithdrawalChanges
from storage.errors import AlreadyDecided
from storage.field_cipher import FieldCipher
from storage.ledger import LedgerStore
from storage.payees import PayeeStore
from storage.users import User
from storage.withdrawals import WithdrawalStore, new_id

READ_IN_TRANSACTION = timedelta(minutes=1)
"""Age up to which gifts are read inside the transaction. Their entries have a time before their
commit, by the clock of a process: by far less than this."""
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
THE_DAY = "withdrawals of the day"
"""Name of the lock of the house's sum."""


@dataclass(frozen=True, slots=True)
class WithdrawalConfig:
    """Whether new withdrawals are taken, when income matures, and the limits."""

    enabled: bool
    maturity: timedelta
    limits: WithdrawalLimits


class WithdrawalPage(NamedTuple):
    """A page of a user's withdrawals, and the income that they could withdraw now."""

    matured: int
    withdrawals: list[Withdrawal]
    has_more: bool


class WithdrawalService:
    """Requests, decisions and cancellations; services/bills.py talks to WeChat Pay."""

    def __init__(
        self,
        withdrawals: WithdrawalStore,
        payees: PayeeStore,
        ledger: LedgerStore,
        changes: WithdrawalChanges,
        bills: BillService,
        catalogue: CatalogueService,
        cipher: FieldCipher,
        hold: LockUsers,
        config: WithdrawalConfig,
        is_permitted: Callable[[str], Awaitable[bool]],
    ) -> None:
        """`is_permitted`: whether an operator may still approve."""
        self._withdrawals = withdrawals
        self._payees = payees
        self._ledger = ledger
        self._changes = changes
        self._bills = bills
        self._catalogue = catalogue
        self._cipher = cipher
        self._hold = hold
        self._config = config
        self._recent_income = RecentIncomeCache(payees, config.maturity)
        self._is_permitted = is_permitted
        self._steps = set[asyncio.Task[Withdrawal | None]]()
        """Steps at WeChat Pay, also those that no request waits for: asyncio keeps no reference."""

    # ---- the user

    async def request(
        self, user: User, income: int, request_id: str, real_name: str = ""
    ) -> Withdrawal:
        """Hold at most `income` and pay it once it is approved; repeated, the same withdrawal.

        Raises WithdrawOff, TooLittle, OverLimit, RealNameNeeded, IncomeNotMatured,
        WithdrawalsStopped, RequestIdReused.
        """
        async with self._hold(f"withdraw:{user.user_id}"):  # repetitions wait for WeChat's answer
            key = withdrawal_key(user.user_id, request_id)
            if stored := await self._ledger.find(key):
                return await self._repeated(stored, income)
            if not self._config.enabled:
                raise WithdrawOff
            try:
                withdrawal = await self._hold_income(user, income, request_id, real_name)
            except EntryExists:
                return await self._repeated(await self._ledger.find_committed(key), income)
            return await self._advance_in_time(withdrawal)

    async def page(self, user_id: str, number: int, size: int) -> WithdrawalPage:
        """Page `number` (from 1) of the user's withdrawals, newest first."""
        found, has_more = await self._withdrawals.page_of_user(user_id, number, size)
        funds = await self._payees.funds(user_id)
        recent = await self._recent_income.of(user_id, funds.income)
        matured = matured_income(funds.income, recent, funds.owed_income)
        return WithdrawalPage(0 if funds.is_stopped else matured, found, has_more)

    async def matured(self, user_id: str) -> int:
        """Income that the user could withdraw now, before all limits; 0 while stopped."""
        funds = await self._payees.funds(user_id)  # first: later gifts only make it less
        since = datetime.now(UTC) - self._config.maturity
        recent = await self._payees.recent_income(user_id, since)
        matured = matured_income(funds.income, recent, funds.owed_income)
        return 0 if funds.is_stopped else matured

    async def cancel(self, user_id: str, id_: str) -> Withdrawal:
        """Return what is not submitted yet, and ask WeChat Pay to cancel the rest.

        Repeated, WeChat Pay is not asked: the sweep goes on. Raises WithdrawalNotFound,
        NotCancellable.
        """
        found = await self._withdrawals.find(id_)
        if found is None or found.user_id != user_id:
            raise WithdrawalNotFound
        if found.is_cancelling:
            return found
        return await self._take_back(id_, USER, CANCELLED)

    # ---- operators

    async def approve(self, id_: str, by: str) -> Withdrawal:
        """Approve a withdrawal, which is submitted soon once enough operators have.

        Earlier approvals of operators who no longer have the role do not count. Repeated by the
        same operator after it was approved, it changes nothing. Raises WithdrawalNotFound,
        AlreadyDecided, SecondPersonRequired.
        """
        found = await self._withdrawals.find(id_)
        earlier = {*found.approvals} - {by} if found else set()
        left = {name for name in earlier if not await self._is_permitted(name)}

        def approve(it: Withdrawal) -> WithdrawalChange:
            if it.state == WithdrawalState.REQUESTED:
                it = it.drop_approvals(left)
                if by in it.approvals:
                    raise SecondPersonRequired
                return WithdrawalChange(it.approve(by))
            if by not in it.approvals:
                raise AlreadyDecided
            return WithdrawalChange(it)

        return await self._changes.change(id_, approve)

    async def decline(self, id_: str, by: str, reason: str) -> Withdrawal:
        """Return what is not submitted yet, and have the rest cancelled at WeChat Pay.

        Repeated by the same operator, it changes nothing. Raises WithdrawalNotFound,
        AlreadyDecided, also for one that is final.
        """
        now = datetime.now(UTC)

        def decline(it: Withdrawal) -> WithdrawalChange:
            if it.is_open and not it.decided_by:
                return it.give_back(by, reason, now)
            if it.decided_by != by:
                raise AlreadyDecided
            return WithdrawalChange(it)

        return await self._advance_in_time(await self._changes.change(id_, decline))

    # ---- refund cases

    async def stop(self, session: Any, user_id: str, case_id: str) -> None:
        """Refuse new withdrawals of a user with WithdrawalsStopped, in the caller's transaction.

        Several cases may stop one user; each of them resumes on its own. Idempotent. A request at
        the same time is either refused, or `hold_back` finds it.
        """
        await self._payees.stop(session, user_id, case_id)

    async def resume(self, user_id: str, case_id: str) -> None:
        """End what `stop` began for this case. Idempotent."""
        await self._payees.resume(user_id, case_id)

    async def hold_back(self, user_id: str, reason: str) -> bool:
        """Take open withdrawals of a user back; True when none of them is open any more.

        What WeChat Pay does not know yet is returned at once. The rest is cancelled there, which
        takes a while, and which the user's confirmation may precede: call it again until it
        returns True. The income is then the user's again, or paid.
        """
        for withdrawal in await self._withdrawals.open_of(user_id):
            with suppress(NotCancellable):  # final since it was read
                await self._take_back(withdrawal.id, REFUND_CASE, reason)
        return not await self._withdrawals.open_of(user_id)

    # ---- steps

    async def _take_back(self, id_: str, by: str, reason: str) -> Withdrawal:
        now = datetime.now(UTC)
        withdrawal = await self._changes.change(id_, lambda it: it.give_back(by, reason, now))
        return await self._advance_in_time(withdrawal)

    async def _advance_in_time(self, withdrawal: Withdrawal) -> Withdrawal:
        """Take the next step at WeChat Pay; the stored state if that takes too long.

        The step then goes on: only the answer to the first request has the package.
        """
        step = asyncio.create_task(self._advance(withdrawal))
        self._steps.add(step)
        step.add_done_callback(self._steps.discard)
        done, _ = await asyncio.wait([step], timeout=SUBMIT_SECONDS)
        stored = step.result() if done else None
        return stored or await self._withdrawals.find(withdrawal.id) or withdrawal

    async def _advance(self, withdrawal: Withdrawal) -> Withdrawal | None:
        """None if it took longer than any call can; the sweep continues."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STEP_SECONDS):
                return await self._bills.advance(withdrawal)
        return None

    async def _repeated(self, stored: tuple[JsonObject, JsonObject], income: int) -> Withdrawal:
        """The withdrawal of an earlier request; raises RequestIdReused."""
        content, answer = stored
        if content["income"] != income:
            raise RequestIdReused
        found = await self._withdrawals.find(answer["withdrawal_id"])
        assert found is not None  # committed together with the entry
        return await self._submitted(found)

    async def _submitted(self, withdrawal: Withdrawal) -> Withdrawal:
        """Wait for another process that may be submitting a new withdrawal: one answer for all."""
        age = datetime.now(UTC) - withdrawal.requested_at
        for _ in range(int(SUBMIT_SECONDS / POLL_SECONDS) if age < SUBMIT_PERIOD else 0):
            if not withdrawal.is_being_submitted:
                break
            await asyncio.sleep(POLL_SECONDS)
            withdrawal = await self._withdrawals.find(withdrawal.id) or withdrawal
        return withdrawal

    async def _hold_income(
        self, user: User, income: int, request_id: str, real_name: str
    ) -> Withdrawal:
        """Write the request, and the name if there is one.

        Raises EntryExists for a request that was made meanwhile.
        """
        now, config = datetime.now(UTC), self._config
        rate = (await self._catalogue.current()).withdraw_rate or Decimal(0)
        payee = Payee(user.user_id, user.app_id, user.openid)
        withdrawal = request_withdrawal(
            new_id(), payee, request_id, income, rate, config.limits, now
        )
        entry = request_entry(withdrawal, income)
        sealed = self._cipher.encrypt(real_name, user.user_id) if real_name else b""
        has_name = bool(sealed) or await self._has_real_name(user.user_id)
        since = now - config.maturity
        read_from = max(since, now - READ_IN_TRANSACTION)
        earlier = await self._payees.recent_income(user.user_id, since, read_until=read_from)

        async def write(tx: Any) -> Withdrawal:
            if await self._ledger.find(entry.key, tx):
                raise EntryExists(entry.key)
            late = await self._payees.recent_income(
                user.user_id, since, read_from=read_from, session=tx
            )
            matured = await self._matured(tx, user.user_id, earlier + late)
            today = day_interval(day_of(now))[0]
            check_request(
                withdrawal,
                config.limits,
                matured=matured,
                user_day_fen=await self._withdrawals.user_day_fen(tx, user.user_id, today),
                has_real_name=has_name,
            )
            if sealed:
                await self._payees.store_real_name(user.user_id, sealed, tx)
            await self._ledger.move(tx, entry.lines)
            await self._ledger.write(tx, entry, None)
            await self._withdrawals.add(tx, withdrawal)
            await self._withdrawals.add_to_day(tx, now, withdrawal.fen, config.limits.day_fen)
            return withdrawal

        # All requests change the house's sum of the day: without its lock they conflict.
        async with self._hold(user.user_id, THE_DAY):
            return await self._ledger.run_transaction(write)

    async def _matured(self, tx: Any, user_id: str, recent: int) -> int:
        """Income that can be withdrawn; raises WithdrawalsStopped."""
        funds = await self._payees.funds(user_id, tx)
        if funds.is_stopped:
            raise WithdrawalsStopped
        return matured_income(funds.income, recent, funds.owed_income)

    async def _has_real_name(self, user_id: str) -> bool:
        sealed = await self._payees.real_name(user_id)
        return bool(sealed) and self._cipher.decrypt(sealed, user_id) is not None
