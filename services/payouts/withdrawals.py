"""Withdrawals: a host's income, held by the journal and paid to their WeChat balance."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from config.sections import WithdrawSettings
from core.cache import Cache
from core.clock import day_interval, day_of
from ledger.errors import (
    NotCancellable,
    OverLimit,
    WithdrawalNotFound,
    WithdrawalsStopped,
)
from ledger.journal import StoredEntry
from ledger.withdrawal_requests import (
    Maturity,
    Payee,
    WithdrawalLimits,
    accept_request,
    matured_income,
    request_entry,
    request_key,
    request_withdrawal,
)
from ledger.withdrawals import Withdrawal, WithdrawalChange, WithdrawalState
from services.errors import SecondPersonRequired, WithdrawOff
from services.gold.ledger import LockUsers
from services.payouts.transfers import TransferService
from storage.documents import dated_id
from storage.errors import AlreadyDecided
from storage.payouts.withdrawals import PayeeStore
from storage.stores import Stores

SUBMIT_SECONDS = 4.0
"""Longest wait of a request for WeChat Pay; the step continues after that. Less than the timeout
of the lock, for which a repeated request waits."""
POLL_SECONDS = 0.05
"""Interval at which a repeated request looks for the answer that another process waits for."""
USER, REFUND_CASE = "user", "refund_case"
"""`decided_by` of withdrawals that no operator has decided: cancelled by the user, held back."""
CANCELLED = "cancelled"
READ_IN_TRANSACTION = timedelta(minutes=1)
"""Age up to which gifts are read inside the transaction. The time of an entry is earlier than its
commit, by far less than this."""
DAY_LOCK = "withdrawals of the day"
"""Name of the lock of the house's sum."""
CACHED_SECONDS = 10.0
"""How long a sum is kept; adding the 100,000 gifts of a popular host takes a second."""
MAX_CACHED = 1_000


class WithdrawalService:
    """Requests, decisions and cancellations; services/payouts/transfers.py talks to WeChat Pay."""

    def __init__(
        self,
        stores: Stores,
        transfers: TransferService,
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
        self._stores = stores
        self._withdrawals = stores.withdrawals
        self._transfers = transfers
        self._lock = lock
        self._limits = WithdrawalLimits(
            **settings.model_dump(include={*WithdrawalLimits.__slots__})
        )
        self._is_permitted = is_permitted
        self._is_enabled = is_enabled
        self._income = MaturedIncome(stores.payees, settings)
        self._steps = set[asyncio.Task[Withdrawal]]()
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
            stored = await self._stores.ledger.find(key)
            if stored is None:
                if not self._is_enabled:
                    raise WithdrawOff
                made = await self._reserve(payee, income, request_id, real_name)
                if isinstance(made, Withdrawal):
                    return await self._advance_in_time(made)
                stored = made
            answer = stored.answer_to({"income": income})
            withdrawal = await self._withdrawals.get(answer["withdrawal_id"])
            # Another process may be submitting it: one answer for all.
            until = withdrawal.requested_at + timedelta(seconds=SUBMIT_SECONDS)
            while withdrawal.is_being_submitted and datetime.now(UTC) < until:
                await asyncio.sleep(POLL_SECONDS)
                withdrawal = await self._withdrawals.get(withdrawal.id)
            return withdrawal

    async def page(
        self, user_id: str, number: int, size: int
    ) -> tuple[int, list[Withdrawal], bool]:
        """Return the income that the user could withdraw now, before all limits, and a page.

        That is page `number` (from 1) of their withdrawals, newest first, and whether more follow.
        """
        matured = 0
        with suppress(WithdrawalsStopped):
            matured = await self._income.of(user_id)
        return matured, *await self._withdrawals.page_of_user(user_id, number, size)

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

        return await self._transfers.change(id_, approve)

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

        return await self._advance_in_time(await self._transfers.change(id_, decline))

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
        withdrawal = await self._transfers.change(
            id_, lambda saved: saved.give_back(by, reason, now)
        )
        return await self._advance_in_time(withdrawal)

    async def _reserve(
        self, payee: Payee, income: int, request_id: str, real_name: str
    ) -> Withdrawal | StoredEntry:
        """Write the request, and the name if there is one, unless it was made meanwhile.

        Raises as `request`.
        """
        stores, now, user_id = self._stores, datetime.now(UTC), payee.user_id
        rate = (await stores.configs.rates(now))["WITHDRAW_RATE"] or Decimal(0)
        asked = request_withdrawal(
            dated_id("W"), payee, request_id, income, rate, self._limits, now
        )
        entry = request_entry(asked, income)
        has_name = bool(real_name or await stores.payees.real_name(user_id))
        today = day_interval(day_of(now))[0]
        await self._income.recent(user_id)  # before the transaction, which adds the last minute

        async def write(tx: Any) -> Withdrawal:
            matured = await self._income.of(user_id, tx)
            earlier = await self._withdrawals.user_day(tx, user_id, today)
            withdrawal = accept_request(
                asked, self._limits, earlier, matured=matured, has_real_name=has_name
            )
            if real_name:
                await stores.payees.store_real_name(user_id, real_name, tx)
            await stores.ledger.post(tx, entry)
            await self._withdrawals.add(withdrawal, tx)
            of_day = await self._withdrawals.add_to_day(tx, now, withdrawal.fen)
            if of_day > self._limits.day_fen:  # the transaction is aborted
                raise OverLimit("day")
            return withdrawal

        # All requests change the house's sum of the day: without its lock they conflict.
        async with self._lock(user_id, DAY_LOCK):
            return await stores.ledger.run_once(entry.key, write)

    async def _advance_in_time(self, withdrawal: Withdrawal) -> Withdrawal:
        """Take the next step at WeChat Pay; return the stored state if that takes too long.

        The step then goes on: only the answer to the first request has the package.
        """
        step = asyncio.create_task(self._transfers.run_step(withdrawal))
        self._steps.add(step)
        step.add_done_callback(self._steps.discard)
        done, _ = await asyncio.wait([step], timeout=SUBMIT_SECONDS)
        return step.result() if done else await self._withdrawals.get(withdrawal.id)


class MaturedIncome:
    """Matured income, less what the user owes.

    Of the income that has not matured, all but the last minute is cached.
    """

    def __init__(self, payees: PayeeStore, settings: WithdrawSettings) -> None:
        self._payees = payees
        self._days = settings.maturity_days, settings.ios_maturity_days
        self._sums: Cache[str, tuple[Maturity, datetime, int]] = Cache(CACHED_SECONDS, MAX_CACHED)

    async def of(self, user_id: str, session: Any = None) -> int:
        """Return the income that a user can withdraw, by what the transaction `session` reads.

        Raises WithdrawalsStopped while a refund case stops them.
        """
        income, owed = await self._payees.funds(user_id, session)
        return matured_income(income, await self.recent(user_id, session), owed)

    async def recent(self, user_id: str, session: Any = None) -> int:
        """Return the income that has not matured, by what the transaction `session` reads."""
        maturity, until, kept = await self._sums.load(user_id, lambda: self._sum(user_id))
        return kept + await self._payees.recent_income(
            user_id, maturity, read_from=until, session=session
        )

    async def _sum(self, user_id: str) -> tuple[Maturity, datetime, int]:
        """Return since when income is recent, until when it is summed, and the sum."""
        now = datetime.now(UTC)
        maturity = Maturity(*(now - timedelta(days=days) for days in self._days))
        until = max(maturity.since, now - READ_IN_TRANSACTION)
        return (
            maturity,
            until,
            await self._payees.recent_income(user_id, maturity, read_until=until),
        )
