"""Income that users can withdraw, and its move into the hold of a withdrawal."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ledger.errors import EntryExists, WithdrawalsStopped
from ledger.journal import JournalEntry
from ledger.ranking import day_interval, day_of
from ledger.withdrawal_requests import (
    Payee,
    WithdrawalLimits,
    check_request,
    matured_income,
    request_entry,
    request_withdrawal,
)
from ledger.withdrawals import Withdrawal
from services.catalogue import CatalogueService
from services.ledger import LockUsers
from services.recent_income import RecentIncomeCache
from storage.field_cipher import FieldCipher
from storage.ledger import LedgerStore
from storage.payees import PayeeStore
from storage.users import User
from storage.withdrawals import WithdrawalStore, new_id

READ_IN_TRANSACTION = timedelta(minutes=1)
"""Age up to which gifts are read inside the transaction. Their entries have a time before their
commit, by the clock of a process: by far less than this."""
THE_DAY = "withdrawals of the day"
"""Name of the lock of the house's sum."""


@dataclass(frozen=True, slots=True)
class WithdrawalConfig:
    """Whether new withdrawals are taken, when income matures, and the limits."""

    enabled: bool
    maturity: timedelta
    limits: WithdrawalLimits


class WithdrawableIncome:
    """Mature income, less what the user owes; none while a refund case stops withdrawals."""

    def __init__(
        self,
        withdrawals: WithdrawalStore,
        payees: PayeeStore,
        ledger: LedgerStore,
        catalogue: CatalogueService,
        cipher: FieldCipher,
        hold: LockUsers,
        config: WithdrawalConfig,
    ) -> None:
        self._withdrawals = withdrawals
        self._payees = payees
        self._ledger = ledger
        self._catalogue = catalogue
        self._cipher = cipher
        self._hold = hold
        self._config = config
        self._recent_income = RecentIncomeCache(payees, config.maturity)

    async def shown(self, user_id: str) -> int:
        """As `of`, for a list that is polled: the recent income may be a moment old."""
        funds = await self._payees.funds(user_id)
        recent = await self._recent_income.of(user_id, funds.income)
        matured = matured_income(funds.income, recent, funds.owed_income)
        return 0 if funds.is_stopped else matured

    async def of(self, user_id: str) -> int:
        """Income that the user could withdraw now, before all limits."""
        funds = await self._payees.funds(user_id)  # first: later gifts only make it less
        since = datetime.now(UTC) - self._config.maturity
        recent = await self._payees.recent_income(user_id, since)
        matured = matured_income(funds.income, recent, funds.owed_income)
        return 0 if funds.is_stopped else matured

    async def hold(self, user: User, income: int, request_id: str, real_name: str) -> Withdrawal:
        """Write the request, and the name if there is one.

        Raises TooLittle, OverLimit, RealNameNeeded, IncomeNotMatured, WithdrawalsStopped, and
        EntryExists for a request that was made meanwhile.
        """
        now = datetime.now(UTC)
        rate = (await self._catalogue.current()).withdraw_rate or Decimal(0)
        payee = Payee(user.user_id, user.app_id, user.openid)
        withdrawal = request_withdrawal(
            new_id(), payee, request_id, income, rate, self._config.limits, now
        )
        entry = request_entry(withdrawal, income)
        sealed = self._cipher.encrypt(real_name, user.user_id) if real_name else b""
        has_name = bool(sealed) or await self._has_real_name(user.user_id)
        since = now - self._config.maturity
        read_from = max(since, now - READ_IN_TRANSACTION)
        earlier = await self._payees.recent_income(user.user_id, since, read_until=read_from)

        async def write(tx: Any) -> Withdrawal:
            if await self._ledger.find(entry.key, tx):
                raise EntryExists(entry.key)
            late = await self._payees.recent_income(
                user.user_id, since, read_from=read_from, session=tx
            )
            await self._check(tx, withdrawal, earlier + late, has_real_name=has_name)
            if sealed:
                await self._payees.store_real_name(user.user_id, sealed, tx)
            await self._write(tx, withdrawal, entry)
            return withdrawal

        # All requests change the house's sum of the day: without its lock they conflict.
        async with self._hold(user.user_id, THE_DAY):
            return await self._ledger.run_transaction(write)

    async def _check(
        self, tx: Any, withdrawal: Withdrawal, recent: int, *, has_real_name: bool
    ) -> None:
        user_id = withdrawal.user_id
        funds = await self._payees.funds(user_id, tx)
        if funds.is_stopped:
            raise WithdrawalsStopped
        today = day_interval(day_of(withdrawal.requested_at))[0]
        check_request(
            withdrawal,
            self._config.limits,
            matured=matured_income(funds.income, recent, funds.owed_income),
            user_day_fen=await self._withdrawals.user_day_fen(tx, user_id, today),
            has_real_name=has_real_name,
        )

    async def _write(self, tx: Any, withdrawal: Withdrawal, entry: JournalEntry) -> None:
        await self._ledger.move(tx, entry.lines)
        await self._ledger.write(tx, entry, None)
        await self._withdrawals.add(tx, withdrawal)
        await self._withdrawals.add_to_day(
            tx, withdrawal.requested_at, withdrawal.fen, self._config.limits.day_fen
        )

    async def _has_real_name(self, user_id: str) -> bool:
        sealed = await self._payees.real_name(user_id)
        return bool(sealed) and self._cipher.decrypt(sealed, user_id) is not None
