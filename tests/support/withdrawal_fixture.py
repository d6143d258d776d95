"""Users with income, and processes that withdraw it from a bank in memory."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from tornado.ioloop import IOLoop

from config.sections import WithdrawSettings
from core.limits import NamedLocks
from ledger.journal import HOUSE, JournalEntry, Posting, user_account
from ledger.withdrawal_requests import Payee
from ledger.withdrawals import Withdrawal
from services.payouts.transfers import TransferService
from services.payouts.withdrawals import WithdrawalService
from storage.database import Session
from tests.support.storage import StoresFixture
from tests.support.withdrawals import LIMITS, BankInMemory

SETTINGS = WithdrawSettings(**asdict(LIMITS))


class WithdrawalProcess:
    """The services of one process, with stores and locks of their own."""

    def __init__(
        self,
        stores: StoresFixture,
        bank: BankInMemory | None,
        settings: WithdrawSettings,
        *,
        enabled: bool = True,
    ) -> None:
        self.left = set[str]()
        """Operators who no longer have the role."""
        own, lock = StoresFixture(stores.database), NamedLocks().lock
        self.store, self.payees = own.withdrawals, own.payees
        self.transfers = TransferService(own, lock, bank)
        self.service = WithdrawalService(
            own, self.transfers, lock, settings, self._is_permitted, is_enabled=enabled
        )

    async def _is_permitted(self, name: str) -> bool:
        return name not in self.left


class WithdrawalFixture:
    """anna has matured income; `process` is one of the processes."""

    def __init__(
        self, stores: StoresFixture, user: Payee, settings: WithdrawSettings, *, enabled: bool
    ) -> None:
        self.stores, self.database = stores, stores.database
        self._withdrawals = self.database.collection("withdrawals")
        self.user = user
        self.settings, self._enabled = settings, enabled
        self.bank = BankInMemory()
        self.process = self.new_process()
        self.service = self.process.service

    @classmethod
    async def create(
        cls, stores: StoresFixture, income: int = 1_000, *, enabled: bool = True, **limits: int
    ) -> Self:
        settings = SETTINGS.model_copy(update=limits)
        await stores.configs.add(key="WITHDRAW_RATE", value=0.1, enabled=True, remark="")
        (user_id,) = await stores.create_users((0, income))
        user = await stores.users.get(user_id)
        return cls(stores, Payee(user_id, user.app_id, user.openid), settings, enabled=enabled)

    def new_process(self) -> WithdrawalProcess:
        return WithdrawalProcess(self.stores, self.bank, self.settings, enabled=self._enabled)

    # ---- steps

    async def request(self, income: int = 100, request_id: str = "r1", **more: Any) -> Withdrawal:
        return await self.service.request(self.user, income, request_id, **more)

    async def submitted(self, income: int = 100, request_id: str = "r1") -> Withdrawal:
        """One that finn has approved and the sweep has submitted."""
        requested = await self.request(income, request_id)
        await self.service.approve(requested.id, "finn")
        await self.sweep()
        return await self.stored(requested.id)

    async def sweep(self) -> None:
        """Run the sweep as if all open withdrawals were due and last queried a minute ago."""
        open_, now = {"due_at": {"$ne": None}}, datetime.now(UTC)
        earlier = {"$set": {"missed_at": now - timedelta(minutes=1)}}
        await self._withdrawals.update_many({**open_, "missed_at": {"$ne": None}}, earlier)
        due = {"$set": {"due_at": now - timedelta(seconds=1)}}
        await self._withdrawals.update_many(open_, due)
        await self.process.transfers.job.sweep()

    async def notification(self, transfer: Any) -> str:
        """The outcome of a verified notification, "done" or the reason of its refusal."""
        outcome = await self.process.transfers.record(transfer, "")
        return outcome.reason or outcome.outcome

    async def gift(self, income: int, at: datetime, key: str, *, ios: bool = False) -> None:
        """A gift to anna at a time of the past."""
        lines = (
            Posting(HOUSE, "income", -income),
            Posting(user_account(self.user.user_id), "income", income),
        )
        await self.write(JournalEntry(key, "gift", "giver", lines, {}, ios=ios), at)

    async def write(self, entry: JournalEntry, at: datetime) -> None:
        """An entry with its effect on balances, written at a time of the past."""

        async def work(tx: Session) -> None:
            await self.stores.ledger.move(tx, entry.lines)
            await self.stores.ledger.write(tx, entry)
            ledger = self.database.collection("ledger")
            await ledger.update_one({"_id": entry.key}, {"$set": {"at": at}}, session=tx)

        await self.stores.ledger.run_transaction(work)

    async def age(self, id_: str, **interval: float) -> None:
        """Let a withdrawal look as old as that."""
        row = await self._withdrawals.find_one({"_id": id_})
        assert row
        times = ("sent_at", "last_sent_at", "missed_at")
        older = {name: row[name] - timedelta(**interval) for name in times if row[name]}
        await self._withdrawals.update_one({"_id": id_}, {"$set": older})

    # ---- results

    async def stored(self, id_: str) -> Withdrawal:
        found = await self.process.store.find(id_)
        assert found
        return found

    async def matured(self) -> int:
        """Matured income as a new process shows it, whose cache is empty."""
        matured, *_ = await self.new_process().service.page(self.user.user_id, 1, 1)
        return matured

    async def income(self) -> int:
        return (await self.stores.balance(self.user.user_id)).income

    async def kinds(self) -> list[str]:
        """Kinds of the journal entries, in their order."""
        return [entry["kind"] for entry in await self.stores.entries()]

    async def day_fen(self) -> Sequence[int]:
        rows = await self.database.collection("withdrawal_days").find().to_list()
        return [row["fen"] for row in rows]

    async def check(self) -> None:
        """Assert that journal, balances and withdrawals agree with each other and with the bank."""
        await self.stores.check_ledger()
        payouts = await self.stores.entries(kind="payout")
        assert sum(entry["content"]["fen"] for entry in payouts) == self.bank.paid_fen


@pytest.fixture
def payouts(io_loop: IOLoop, stores: StoresFixture) -> WithdrawalFixture:
    """The limits are LIMITS."""
    return io_loop.run_sync(lambda: WithdrawalFixture.create(stores))
