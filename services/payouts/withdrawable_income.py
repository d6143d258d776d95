"""Income that users can withdraw, and its move into the reserve of a withdrawal."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from config.sections import WithdrawSettings
from core.cache import Cache
from core.clock import day_interval, day_of
from ledger.errors import EntryExists, WithdrawalsStopped
from ledger.journal import JournalEntry
from ledger.withdrawal_requests import (
    Maturity,
    Payee,
    WithdrawalLimits,
    accept_request,
    matured_income,
    request_entry,
    request_withdrawal,
)
from ledger.withdrawals import Withdrawal
from services.gold.ledger import LockUsers
from storage.gold.catalogue import ConfigStore
from storage.gold.ledger import LedgerStore
from storage.payouts.withdrawals import PayeeStore, WithdrawalStore, new_id

READ_IN_TRANSACTION = timedelta(minutes=1)
"""Age up to which gifts are read inside the transaction. The time of an entry is earlier than its
commit, by far less than this."""
DAY_LOCK = "withdrawals of the day"
"""Name of the lock of the house's sum."""
CACHED_SECONDS = 10.0
"""How long a sum is kept; adding the 100,000 gifts of a popular host takes a second."""
MAX_CACHED = 1_000


class WithdrawableIncome:
    """Mature income, less what the user owes; none while a refund case stops withdrawals."""

    def __init__(
        self,
        withdrawals: WithdrawalStore,
        payees: PayeeStore,
        ledger: LedgerStore,
        configs: ConfigStore,
        lock_users: LockUsers,
        settings: WithdrawSettings,
    ) -> None:
        self._withdrawals = withdrawals
        self._payees = payees
        self._ledger = ledger
        self._configs = configs
        self._lock_users = lock_users
        self._limits = WithdrawalLimits(
            **settings.model_dump(include={*WithdrawalLimits.__slots__})
        )
        self._recent_income = RecentIncome(payees, settings)

    async def shown(self, user_id: str) -> int:
        """Return the income that the user could withdraw, before all limits; 0 while stopped."""
        funds = await self._payees.funds(user_id)
        recent = await self._recent_income.of(user_id)
        matured = matured_income(funds.income, recent, funds.owed_income)
        return 0 if funds.is_stopped else matured

    async def reserve(
        self, payee: Payee, income: int, request_id: str, real_name: str
    ) -> Withdrawal:
        """Write the request, and the name if there is one.

        Raises TooLittle, OverLimit, RealNameNeeded, IncomeNotMatured, WithdrawalsStopped, or
        EntryExists for a request that was made meanwhile.
        """
        now, user_id = datetime.now(UTC), payee.user_id
        rate = (await self._configs.rates(now))["WITHDRAW_RATE"] or Decimal(0)
        withdrawal = request_withdrawal(
            new_id(), payee, request_id, income, rate, self._limits, now
        )
        entry = request_entry(withdrawal, income)
        has_name = bool(real_name or await self._payees.real_name(user_id))
        await self._recent_income.of(user_id)  # before the transaction, which adds the last minute

        async def write(tx: Any) -> Withdrawal:
            if await self._ledger.find(entry.key, tx):
                raise EntryExists(entry.key)
            recent = await self._recent_income.of(user_id, tx)
            accepted = await self._accept(tx, withdrawal, recent, has_real_name=has_name)
            if real_name:
                await self._payees.store_real_name(user_id, real_name, tx)
            await self._write(tx, accepted, entry)
            return accepted

        # All requests change the house's sum of the day: without its lock they conflict.
        async with self._lock_users(user_id, DAY_LOCK):
            return await self._ledger.run_transaction(write)

    async def _accept(
        self, tx: Any, withdrawal: Withdrawal, recent: int, *, has_real_name: bool
    ) -> Withdrawal:
        user_id = withdrawal.user_id
        funds = await self._payees.funds(user_id, tx)
        if funds.is_stopped:
            raise WithdrawalsStopped
        today = day_interval(day_of(withdrawal.requested_at))[0]
        return accept_request(
            withdrawal,
            self._limits,
            await self._withdrawals.user_day(tx, user_id, today),
            matured=matured_income(funds.income, recent, funds.owed_income),
            has_real_name=has_real_name,
        )

    async def _write(self, tx: Any, withdrawal: Withdrawal, entry: JournalEntry) -> None:
        await self._ledger.move(tx, entry.lines)
        await self._ledger.write(tx, entry)
        await self._withdrawals.add(withdrawal, tx)
        await self._withdrawals.add_to_day(
            tx, withdrawal.requested_at, withdrawal.fen, self._limits.day_fen
        )


class _Sum(NamedTuple):
    maturity: Maturity
    until: datetime
    recent: int


class RecentIncome:
    """Income that has not matured; all but the last minute of it is cached."""

    def __init__(self, payees: PayeeStore, settings: WithdrawSettings) -> None:
        self._payees = payees
        self._days = settings.maturity_days, settings.ios_maturity_days
        self._sums: Cache[str, _Sum] = Cache(CACHED_SECONDS, MAX_CACHED)

    async def of(self, user_id: str, session: Any = None) -> int:
        """Return the income that has not matured.

        It includes the gifts that are committed, or those that the transaction `session` reads.
        """
        kept = await self._sums.load(user_id, lambda: self._sum(user_id))
        late = await self._payees.recent_income(
            user_id, kept.maturity, read_from=kept.until, session=session
        )
        return kept.recent + late

    async def _sum(self, user_id: str) -> _Sum:
        now = datetime.now(UTC)
        maturity = Maturity(*(now - timedelta(days=days) for days in self._days))
        until = max(maturity.since, now - READ_IN_TRANSACTION)
        recent = await self._payees.recent_income(user_id, maturity, read_until=until)
        return _Sum(maturity, until, recent)
