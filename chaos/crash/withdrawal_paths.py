"""The paths of a withdrawal: its request, decisions on it, notices, and the server's sweep."""

from collections.abc import Awaitable, Callable
from typing import Any

from chaos.crash.environment import EnvironmentUser
from chaos.crash.gift_paths import REPEATS
from chaos.crash.notice_path import NoticePath
from chaos.crash.operator_path import OperatorPath
from chaos.crash.stock import Stock
from chaos.crash.withdrawals import AUTO_INCOME, Withdrawals
from devtools.simulator.notifications import SimulatedNotification

CANCEL_PATH = "qlive_pay/withdraw/cancel/"


class WithdrawalPath:
    """Requests that need no approval, so that they are submitted to WeChat Pay at once."""

    name = "withdrawal"

    def __init__(self, withdrawals: Withdrawals, stock: int) -> None:
        self.acknowledged_at_once = 0
        """Requests that were answered although their server crashed."""
        self._withdrawals = withdrawals
        self._payees = Stock(withdrawals.env, withdrawals.payees.next, stock)
        self._payee: EnvironmentUser
        self._pending = ""

    async def prepare(self) -> str:
        """Returns the next request_id."""
        self._next = await self._payees.take()
        return self._withdrawals.new_request_id(self.name)

    async def repair(self) -> None:
        """Repeat the previous request, which may be lost, and once more for an equal answer.

        A repeated request waits for a sweep, which submits what the dead server has not.
        """
        if self._pending:
            await self._withdrawals.make_due(self._pending)
        for _ in range(REPEATS if self._pending else 0):
            response = await self._payee.post("qlive_pay/withdraw/", **self._params(self._pending))
            self._withdrawals.record(self._pending, response)

    async def attempt(self, target: str) -> None:
        """Send the request once; its server crashes meanwhile."""
        self._payee, self._pending = self._next, target
        response = await self._payee.post_once("qlive_pay/withdraw/", **self._params(target))
        if response.status:
            self.acknowledged_at_once += 1
            self._withdrawals.record(target, response)

    async def settle(self) -> None:
        await self.repair()

    def _params(self, request_id: str) -> dict[str, Any]:
        return {"income": AUTO_INCOME, "request_id": request_id}


class TransferCancelPath:
    """Users cancel withdrawals that wait for them, until each cancellation is acknowledged."""

    name = "transfer_cancel"

    def __init__(self, withdrawals: Withdrawals, stock: int) -> None:
        self.acknowledged_at_once = 0
        self._withdrawals = withdrawals
        self._stock = Stock(withdrawals.env, withdrawals.awaiting_payee, stock)
        self._payee: EnvironmentUser
        self._pending = ""

    async def prepare(self) -> str:
        """Returns the id of the next withdrawal."""
        id_, self._next = await self._stock.take()
        return str(id_)

    async def repair(self) -> None:
        """Cancel again; the dead server may have got as far as the return of the income."""
        if self._pending:
            response = await self._payee.post(CANCEL_PATH, withdrawal_id=self._pending)
            if not response.succeeded and response.json.get("code") != "not_cancellable":
                self._withdrawals.env.violations.add(
                    "unexpected_response", f"cancel {self._pending}: {response}"
                )
            self._withdrawals.cancelled.append(self._pending)
            self._pending = ""

    async def attempt(self, target: str) -> None:
        """Send the cancellation once; its server crashes meanwhile."""
        self._payee, self._pending = self._next, target
        response = await self._payee.post_once(CANCEL_PATH, withdrawal_id=target)
        self.acknowledged_at_once += response.succeeded

    async def settle(self) -> None:
        await self.repair()


class WithdrawalDecisionPath(OperatorPath):
    """Approvals or refusals of requested withdrawals."""

    def __init__(self, withdrawals: Withdrawals, decision: str, stock: int) -> None:
        """`decision`: approve or decline."""
        self._withdrawals, self._declines = withdrawals, decision == "decline"
        super().__init__(
            f"withdrawal_{decision}",
            withdrawals.env,
            Stock(withdrawals.env, withdrawals.requested, stock),
            f"withdrawals/{{}}/{decision}",
            undecided=("requested",),
        )

    async def settle(self) -> None:
        """Decide those of the stock, too, which nothing else would."""
        await super().settle()
        for id_ in self.stock.take_rest():
            await self.decide(id_)

    async def decide(self, id_: str) -> None:
        await super().decide(id_)
        if self._declines:
            self._withdrawals.cancelled.append(id_)


class TransferNoticePath(NoticePath):
    """Notices of withdrawals that their users have confirmed."""

    def __init__(self, name: str, withdrawals: Withdrawals, outcome: str, stock: int) -> None:
        """`outcome`: success or failed."""

        async def make() -> str:
            id_ = await withdrawals.awaiting_user()
            await withdrawals.finish(id_, outcome)
            return id_

        ids = Stock(withdrawals.env, make, stock)

        async def take() -> SimulatedNotification:
            bill = withdrawals.bill(await ids.take())
            return withdrawals.env.simulator.transfers.notice(bill, "once")

        super().__init__(name, withdrawals.env, take)


class TransferSweepPath:
    """The server carries a withdrawal on by itself, and again once it is due again."""

    def __init__(
        self, name: str, withdrawals: Withdrawals, make: Callable[[], Awaitable[str]], stock: int
    ) -> None:
        """`make` returns the id of a withdrawal in the state that this path starts from."""
        self.name = name
        self._withdrawals, self._stock = withdrawals, Stock(withdrawals.env, make, stock)
        self._pending = ""

    async def prepare(self) -> str:
        """Returns the next id; makes the previous withdrawal due, as time would."""
        await self._make_due()
        id_: str = await self._stock.take()
        return id_

    async def repair(self) -> None:
        """Nothing to do: the server's first sweep repairs; see marked_sweeps.py."""

    async def attempt(self, target: str) -> None:
        self._pending = target

    async def settle(self) -> None:
        await self._make_due()

    async def _make_due(self) -> None:
        if self._pending:
            await self._withdrawals.make_due(self._pending)
