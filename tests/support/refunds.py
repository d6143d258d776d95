"""Refund cases on a real MongoDB, with a bank for withdrawals and a desk for refunds."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from config.sections import WithdrawSettings
from core.limits import NamedLocks
from ledger.recharge import Order, Payment, Refund, RefundState
from ledger.refund_cases import RefundCase
from ledger.transfers import TransferState
from ledger.withdrawal_requests import Payee
from ledger.withdrawals import Withdrawal
from realtime.bus import Bus
from services.gold.catalogue import CatalogueService
from services.gold.ledger import LedgerService
from services.operators.approvals import ApprovalService
from services.payments.payment_notifications import Followers, PaymentNotificationService
from services.payments.payments import PaymentService
from services.refunds.refund_cases import RefundCaseService
from storage.documents import dated_id
from storage.jobs.inbox import CallbackOutcome
from storage.operators.operators import OperatorAccount
from tencent.errors import MerchantRefused, ServiceUnavailable
from tests.support.storage import GiftProcess, StoresFixture, rose
from tests.support.withdrawal_fixture import WithdrawalProcess
from tests.support.withdrawals import BankInMemory

LIMIT = 100
"""Gold that an operator moves alone in a day."""
WITHDRAWALS = WithdrawSettings(
    maturity_days=0,
    min_fen=10,
    max_fen=10_000,
    user_day_fen=10_000,
    day_fen=10_000,
    second_person_fen=0,
)


@dataclass
class Desk:
    """Refunds of orders; `answer` is that to every request."""

    answer: RefundState = "pending"
    is_down: bool = False
    refusal: str = ""
    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Order number and fen by our number."""
    calls: list[str] = field(default_factory=list)

    async def refund(self, order: Order, number: str, fen: int, reason: str) -> RefundState:
        assert reason
        self._receive("refund")
        if self.refusal:
            raise MerchantRefused(self.refusal)
        assert self.refunds.setdefault(number, (order.number, fen)) == (order.number, fen)
        return self.answer

    def _receive(self, call: str) -> None:
        self.calls.append(call)
        if self.is_down:
            raise ServiceUnavailable("pay")

    async def refund_state(self, order: Order, number: str) -> RefundState | None:
        self._receive("query")
        if number not in self.refunds:
            return None
        assert self.refunds[number][0] == order.number
        return self.answer


class RefundProcess:
    """The services of one process."""

    def __init__(self, stores: StoresFixture, bank: BankInMemory, desk: Desk) -> None:
        lock = NamedLocks().lock
        self.cases, self.payees = stores.refund_cases, stores.payees
        payouts = WithdrawalProcess(stores, bank, WITHDRAWALS)
        self.transfers, self.withdrawals = payouts.transfers, payouts.service
        self.ledger_service = LedgerService(stores.ledger, lock)
        catalogue = CatalogueService(stores.gifts, stores.configs, Bus())
        approvals = ApprovalService(stores, self.ledger_service, catalogue, LIMIT)
        self.payments = PaymentService(
            stores.ledger, stores.orders, stores.user_channels, stores.webhooks, lock
        )
        desks: Any = {"xpay": desk, "jsapi": desk}  # refunds alone
        self.service = RefundCaseService(stores, approvals, self.withdrawals, desks, lock)
        self.leaving: set[str] = set()
        self.notifications = PaymentNotificationService(
            stores,
            self.payments,
            Followers(self.service.apply, self.transfers.reprocess, self._plan_deletion),
            None,
            None,  # no pushes here
        )

    async def _plan_deletion(self, _app_id: str, openid: str) -> None:
        self.leaving.add(openid)


class RefundFixture:
    """A giver without gold, and three hosts."""

    def __init__(self, stores: StoresFixture, users: list[str]) -> None:
        self.stores = stores
        self.giver, *self.hosts = users
        self.bank, self.desk = BankInMemory(), Desk()
        self.gifts = GiftProcess(stores)
        self.process = RefundProcess(stores, self.bank, self.desk)
        self._numbers = 0

    @classmethod
    async def create(cls, stores: StoresFixture) -> Self:
        for name in ("olga", "pavel"):
            await stores.operators.add(OperatorAccount(name, "finance", "", "", name, None))
        await stores.configs.add(key="WITHDRAW_RATE", value=0.1, enabled=True, remark="")
        return cls(stores, await stores.create_users(*[(0, 0)] * 4))

    # ---- before the case

    async def order(self, gold: int = 60, platform: str = "", provider: str = "xpay") -> Order:
        """An unpaid order of ten fen for each gold."""
        order = Order(
            *(dated_id("Q"), self.giver, provider, "wx1", "o1", "gold"),
            *(gold * 10, gold),
            platform=platform,
        )
        await self.stores.orders.open(order, 1, 0)
        return order

    async def recharge(
        self, gold: int = 60, platform: str = "", paid_fen: int | None = None
    ) -> str:
        """The number of a paid order of ten fen for each gold, or of `paid_fen`."""
        order = await self.order(gold, platform)
        payment = Payment("xpay", order.number, "42", order.fen, paid_fen=paid_fen)
        await self.process.payments.credit(payment)
        return order.number

    async def age_ios_payment(self, by: timedelta) -> None:
        """As if the giver's last payment on iOS were earlier."""
        users, of_giver = self.stores.database.collection("users"), {"_id": self.giver}
        earlier = {"$subtract": ["$ios_paid_at", int(by.total_seconds() * 1000)]}
        await users.update_one(of_giver, [{"$set": {"ios_paid_at": earlier}}])

    async def give(self, host: str, gold: int) -> str:
        """A gift of which the host earns half; returns its key."""
        self._numbers += 1
        transfer = rose(self.giver, host, f"g{self._numbers}", gold=gold)
        await self.gifts.give(transfer)
        return transfer.key

    async def withdraw(self, host: str, income: int) -> Withdrawal:
        """A withdrawal that waits for an operator."""
        payee = Payee(host, "wx1", "o1")
        return await self.process.withdrawals.request(payee, income, "w1")

    async def submit(self, host: str, income: int) -> Withdrawal:
        """A withdrawal that waits for its user."""
        withdrawal = await self.withdraw(host, income)
        approved = await self.process.withdrawals.approve(withdrawal.id, "olga")
        return await self.process.transfers.run_step(approved)

    async def pay_out(self, host: str, income: int) -> None:
        id_ = (await self.submit(host, income)).id
        await self.process.transfers.apply(self.bank.finish(id_, TransferState.SUCCESS))

    # ---- the case

    async def open(self, *orders: str, request_id: str = "one", by: str = "olga") -> RefundCase:
        return await self.process.service.open(self.giver, orders, "a minor", request_id, by)

    async def confirm(self, case: RefundCase, by: str = "pavel") -> RefundCase:
        return await self.process.service.confirm(case.id, by, "seen the papers")

    async def sweep(self) -> None:
        """Run the sweep as if every open case were due."""
        due = {"$set": {"due_at": datetime.now(UTC)}}
        cases = self.stores.database.collection("refund_cases")
        await cases.update_many({"due_at": {"$ne": None}}, due)
        await self.process.service.job.sweep()

    async def get(self, case: RefundCase) -> RefundCase:
        return await self.process.cases.get(case.id)

    async def callback(self, case: RefundCase, position: int = 0, **other: Any) -> CallbackOutcome:
        """WeChat's callback about the refund of an order of the case."""
        order = case.orders[position]
        refund = Refund("xpay", order.number, f"wx-{position}", order.fen, own=order.refund)
        fields = {name: getattr(refund, name) for name in Refund.__slots__} | other
        return await self.process.notifications.record(Refund(**fields), "")

    # ---- results

    async def balances(self) -> list[tuple[int, int, int, int]]:
        """(gold, income, owed gold, owed income) of the giver and the hosts."""
        users = [await self.stores.users.get(user_id) for user_id in (self.giver, *self.hosts)]
        return [(user.gold, user.income, user.owed, user.owed_income) for user in users]

    async def check(self) -> None:
        await self.stores.check_ledger()

    async def ranking(self) -> dict[str, tuple[int, int]]:
        """(gold, income) of the day, by user; without zeros."""
        rows = await self.stores.database.collection("rankings").find({}).to_list()
        found = {row["user_id"]: (row["gold"], row["income"]) for row in rows}
        return {user_id: sums for user_id, sums in found.items() if any(sums)}
