"""Plans a refund case from orders, journal and withdrawals, as of one moment."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from ledger.refund_plan import GiftSelection, GiftStep, OrderStep, RefundPlan, make_plan, order_step
from services.errors import NotRefundable
from storage.errors import OrderNotFound
from storage.ledger import LedgerStore
from storage.orders import OrderStore
from storage.refund_cases import RefundCaseStore
from storage.spent_gold import SpentGoldStore


class RefundPlanner:
    """Every read is of the transaction that is passed as `tx`."""

    def __init__(
        self,
        orders: OrderStore,
        ledger: LedgerStore,
        spent_gold: SpentGoldStore,
        cases: RefundCaseStore,
    ) -> None:
        self._orders = orders
        self._ledger = ledger
        self._spent_gold = spent_gold
        self._cases = cases

    async def plan(self, tx: Any, case_id: str, user_id: str, numbers: Sequence[str]) -> RefundPlan:
        """What refunding these orders of the user takes back.

        Raises UserNotFound, OrderNotFound and NotRefundable.
        """
        available = (await self._ledger.balance(tx, user_id)).gold
        found = [
            await self._order(tx, user_id, number, f"{case_id}{position:02}")
            for position, number in enumerate(numbers, 1)
        ]
        orders = [order for order, _ in found]
        missing = sum(order.gold for order in orders) - available
        gifts = await self._gifts(tx, user_id, min(at for _, at in found), missing)
        hosts = sorted({gift.host for gift in gifts})
        return make_plan(orders, available, gifts, await self._spent_gold.incomes(tx, hosts))

    async def _order(
        self, tx: Any, user_id: str, number: str, refund: str
    ) -> tuple[OrderStep, datetime]:
        """The step of an order, and when it was credited."""
        order = await self._orders.find(number, tx)
        if order is None or order.user_id != user_id:
            raise OrderNotFound
        credit = await self._ledger.credit_of(number)
        step = order_step(order, await self._orders.refunded_fen(number, tx), refund)
        if credit is None or step is None:
            raise NotRefundable
        return step, credit.at

    async def _gifts(self, tx: Any, user_id: str, since: datetime, missing: int) -> list[GiftStep]:
        """The newest gifts since then that cover the `missing` gold."""
        if missing <= 0:
            return []
        selection = GiftSelection(missing, await self._cases.gifts_in_progress(user_id, tx))
        async with aclosing(self._spent_gold.gifts(tx, user_id, since)) as gifts:
            async for gift in gifts:
                selection.offer(gift)
                if selection.is_complete:
                    break
        return selection.chosen
