"""The paths of a refund case: an operator's confirmation, and the sweep that carries it on."""

from chaos.crash.notice_path import NoticePath
from chaos.crash.refunds import RefundCases
from chaos.crash.stock import Stock
from devtools.simulator.reports import SimulatedNotification


class RefundConfirmPath:
    """An operator repeats each confirmation until it is acknowledged."""

    name = "refund_confirm"

    def __init__(self, cases: RefundCases, stock: int) -> None:
        self.acknowledged_at_once = 0
        self._env = cases.env
        self._stock = Stock(cases.env, cases.opened, stock)
        self._pending = ""

    async def prepare(self) -> str:
        """Returns the id of the next case."""
        id_: str = await self._stock.take()
        return id_

    async def repair(self) -> None:
        if self._pending:
            path = f"refunds/{self._pending}/confirm"
            confirmed = await self._env.ops_request("POST", path, reason="chaos")
            if confirmed.ok and confirmed.json["state"] in ("opened", "dropped"):
                self._env.violations.add("unexpected_response", f"{path}: {confirmed}")
            self._pending = ""

    async def attempt(self, target: str) -> None:
        """Send the confirmation once; its server crashes meanwhile."""
        path = f"refunds/{target}/confirm"
        response = await self._env.ops_request_once("POST", path, reason="chaos")
        self.acknowledged_at_once += response.ok
        self._pending = target

    async def settle(self) -> None:
        await self.repair()


class RefundNoticePath(NoticePath):
    """Notices of refunds for which cases wait."""

    def __init__(self, cases: RefundCases, stock: int) -> None:
        refunds = Stock(cases.env, cases.refund, stock, "fast_sweeps")

        async def take() -> SimulatedNotification:
            refund = await refunds.take()
            notice: SimulatedNotification = refund.finish(refund)("once")
            return notice

        super().__init__("refund_notice", cases.env, take)


class RefundSweepPath:
    """The server carries a confirmed case on by itself, and again once it is due again."""

    name = "refund_case"

    def __init__(self, cases: RefundCases, stock: int) -> None:
        self._cases = cases
        self._stock = Stock(cases.env, cases.confirmed, stock)
        self._pending: list[str] = []
        """Cases that earlier crashes left, one or two steps from their end."""

    async def prepare(self) -> str:
        """Returns the next id; makes the previous cases due, as time would."""
        self._pending = await self._cases.unfinished(self._pending)
        await self._cases.make_due(self._pending)
        id_: str = await self._stock.take()
        return id_

    async def repair(self) -> None:
        """Nothing to do: the server's first sweep repairs; see marked_sweeps.py."""

    async def attempt(self, target: str) -> None:
        self._pending.append(target)

    async def settle(self) -> None:
        await self._cases.make_due(self._pending)
