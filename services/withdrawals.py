"""Withdrawals: a host's income, held by the journal and paid to their WeChat balance."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ledger.errors import EntryExists, RequestIdReused, WithdrawalNotFound, WithdrawalsStopped
from ledger.ranking import day_interval, day_of
from ledger.transfers import Transfer
from ledger.withdrawal_requests import (
    Payee,
    WithdrawalLimits,
    check_request,
    matured_income,
    request_entry,
    request_withdrawal,
)
from ledger.withdrawals import Change, Withdrawal, WithdrawalState, withdrawal_key
from services.bills import BillService
from services.catalogue import CatalogueService
from services.errors import SecondPersonRequired, WithdrawOff
from services.ledger import LockUsers
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
USER = "user"
"""`decided_by` of a withdrawal that its user cancelled."""


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
    ) -> None:
        self._withdrawals = withdrawals
        self._payees = payees
        self._ledger = ledger
        self._changes = changes
        self._bills = bills
        self._catalogue = catalogue
        self._cipher = cipher
        self._hold = hold
        self._config = config

    # ---- the user

    async def request(
        self, user: User, income: int, request_id: str, real_name: str = ""
    ) -> Withdrawal:
        """Hold at most `income` and pay it once it is approved; repeated, the same withdrawal.

        Raises WithdrawOff, TooLittle, OverLimit, RealNameNeeded, IncomeNotMatured,
        WithdrawalsStopped, RequestIdReused.
        """
        if not self._config.enabled:
            raise WithdrawOff
        if real_name:
            sealed = self._cipher.encrypt(real_name, user.user_id)
            await self._payees.store_real_name(user.user_id, sealed)
        async with self._hold(f"withdraw:{user.user_id}"):  # repetitions wait for WeChat's answer
            key = withdrawal_key(user.user_id, request_id)
            if stored := await self._ledger.find(key):
                return await self._repeated(stored, income)
            try:
                withdrawal = await self._hold_income(user, income, request_id)
            except EntryExists:
                return await self._repeated(await self._ledger.find_committed(key), income)
            return await self._bills.advance(withdrawal)

    async def page(self, user_id: str, number: int, size: int) -> WithdrawalPage:
        """Page `number` (from 1) of the user's withdrawals, newest first."""
        found, has_more = await self._withdrawals.page_of_user(user_id, number, size)
        return WithdrawalPage(await self.matured(user_id), found, has_more)

    async def matured(self, user_id: str) -> int:
        """Income that the user could withdraw now, before all limits; 0 while stopped."""
        raise NotImplementedError

    async def cancel(self, user_id: str, id_: str) -> Withdrawal:
        """Return what is not submitted yet, and ask WeChat Pay to cancel the rest.

        Raises WithdrawalNotFound, NotCancellable.
        """
        raise NotImplementedError

    # ---- operators

    async def approve(self, id_: str, by: str) -> Withdrawal:
        """Approve a withdrawal, which submits it once enough operators have.

        Repeated by the same operator after it was approved, it changes nothing. Raises
        WithdrawalNotFound, AlreadyDecided, SecondPersonRequired.
        """
        raise NotImplementedError

    async def decline(self, id_: str, by: str, reason: str) -> Withdrawal:
        """Return a withdrawal that is not submitted yet.

        Raises WithdrawalNotFound, AlreadyDecided.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def _hold_income(self, user: User, income: int, request_id: str) -> Withdrawal:
        raise NotImplementedError

    async def _repeated(self, stored: Any, income: int) -> Withdrawal:
        raise NotImplementedError
