"""The path of the push by which WeChat requests delivery of an order of virtual payment."""

from chaos.crash.environment import CrashEnvironment, EnvironmentUser
from chaos.crash.marked_sweeps import NEVER
from chaos.crash.notice_path import PushPath
from chaos.crash.stock import Stock
from chaos.xpay_orders import add_paid_order, delivery_push
from devtools.simulator.notifications import SimulatedNotification


class PaidXpayOrders:
    """Paid orders of one buyer, which only a push may credit."""

    def __init__(self, env: CrashEnvironment, stock: int) -> None:
        self.env = env
        self.buyer: EnvironmentUser | None = None
        self.taken: list[str] = []
        """Numbers of the orders that must be credited, in order."""
        self._stock = Stock(env, self._order, stock)
        self._orders = env.database.collection("orders")

    async def take(self) -> str:
        """Returns the number of the next order."""
        self.taken.append(await self._stock.take())
        return self.taken[-1]

    async def _order(self) -> str:
        if self.buyer is None:
            self.buyer = await self.env.create_user("buyer of virtual payment", 1)
        number = await add_paid_order(self.env.database, self.env.simulator, self.buyer.id)
        # No sweep must credit it, and the next one needs the place of an open order.
        set_aside = {"$set": {"due_at": NEVER}, "$unset": {"open_keys": ""}}
        await self._orders.update_one({"_id": number}, set_aside)
        return number


class XpayDeliveryPath(PushPath):
    """Pushes that have the server credit orders."""

    def __init__(self, orders: PaidXpayOrders) -> None:
        env = orders.env

        async def take() -> SimulatedNotification:
            return delivery_push(env.simulator, await orders.take(), env.address)

        super().__init__("xpay_delivery", env, take)
