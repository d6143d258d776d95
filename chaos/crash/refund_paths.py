"""The paths of a refund case: its confirmation, the sweep that carries it on, and notices."""

from collections.abc import Awaitable, Callable

from chaos.crash.notice_path import NoticePath, PushPath
from chaos.crash.operator_path import OperatorPath
from chaos.crash.refunds import RefundCases
from chaos.crash.stock import Stock
from devtools.simulator.notifications import SimulatedNotification
from tencent.notifications import JSAPI
from tencent.xpay import PROVIDER as XPAY


class RefundConfirmPath(OperatorPath):
    """Confirmations of refund cases."""

    def __init__(self, cases: RefundCases, stock: int) -> None:
        opened = Stock(cases.env, cases.opened, stock)
        address, undecided = "refunds/{}/confirm", ("opened", "dropped")
        super().__init__("refund_confirm", cases.env, opened, address, undecided)


class RefundNoticePath(NoticePath):
    """WeChat Pay's notices of refunds for which cases wait."""

    def __init__(self, cases: RefundCases, stock: int) -> None:
        super().__init__("refund_notice", cases.env, _notices(cases, JSAPI, stock))


class RefundPushPath(PushPath):
    """Pushes of refunds of virtual payment for which cases wait."""

    def __init__(self, cases: RefundCases, stock: int) -> None:
        super().__init__("xpay_refund_push", cases.env, _notices(cases, XPAY, stock))


def _notices(
    cases: RefundCases, provider: str, stock: int
) -> Callable[[], Awaitable[SimulatedNotification]]:
    """Returns what takes the next notice of a refund at `provider`, which has not been sent."""
    refunds = Stock(cases.env, lambda: cases.refund(provider), stock, "fast_sweeps")

    async def take() -> SimulatedNotification:
        refund = await refunds.take()
        notice: SimulatedNotification = refund.finish(refund)("once")
        return notice

    return take


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
