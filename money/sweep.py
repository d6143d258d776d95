"""Orders that nobody has told us of: their provider is asked, and at last they are closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from money.cashier import Cashier
from money.recharge import Order, Payment, PaymentRefused

ASK_AFTER = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]
CLOSE_AFTER = timedelta(hours=3)
"""Its offer holds for 2 hours, and a payment may still be on its way then."""
GIVE_UP_AFTER = timedelta(days=1)
"""A provider that does not know an order at all may not have a word for that."""
CLAIM = timedelta(minutes=1)
"""How long an order is one process's business."""


@dataclass(frozen=True, slots=True)
class Open:
    """An order that is not paid as far as we know."""

    order: Order
    created_at: datetime
    asked: int
    """How often its provider was asked, this time included."""


class Provider(Protocol):
    """Where people pay. Each call is safe to repeat, and fails while it does not answer."""

    async def query(self, order: Order) -> Payment | None:
        """What was paid, or None so far."""

    async def close(self, order: Order) -> None:
        """Nobody can pay it any more, where there is such a thing."""

    async def deliver(self, order: Order) -> None:
        """It is ours to say that the gold is there, where somebody wants to know."""


class OpenOrders(Protocol):
    """Where orders are kept."""

    async def claim(self, now: datetime, until: datetime) -> Open | None: ...
    async def later(self, number: str, at: datetime) -> None: ...
    async def close(self, number: str) -> None: ...
    async def delivered(self, number: str) -> None: ...
    async def dispute(self, number: str, word: str) -> None:
        """What was paid is not what it says: it is for operators to look at."""


class Sweep:
    """Credits what was paid, by the same entry as the notification would."""

    def __init__(
        self, orders: OpenOrders, cashier: Cashier, providers: Mapping[str, Provider]
    ) -> None:
        """`providers` by the names that stand in orders."""
        self._orders = orders
        self._cashier = cashier
        self._providers = providers

    async def look(self, open_: Open, now: datetime) -> str:
        """What became of one: paid, delivered, closed, later, or why its payment was refused.

        Whatever the provider raises comes through: `put_off` is for the order then.
        """
        order, number = open_.order, open_.order.number
        provider, late = self._providers.get(order.provider), now - open_.created_at >= CLOSE_AFTER
        if provider is None:
            await self._orders.close(number)
            return "closed"
        if order.state == "paid":
            await provider.deliver(order)
            await self._orders.delivered(number)
            return "delivered"
        if late:
            await provider.close(order)  # asked afterwards: it may have been paid just before
        payment = await provider.query(order)
        if payment:
            return await self._credit(order, payment)
        if late:
            await self._orders.close(number)
            return "closed"
        await self._orders.later(number, next_look(open_, now))
        return "later"

    async def put_off(self, open_: Open, now: datetime) -> str:
        """Its provider did not answer. After a day it is asked and told no more: one that has
        never heard of an order may have no word for that."""
        order = open_.order
        if now - open_.created_at >= GIVE_UP_AFTER:
            give_up = self._orders.delivered if order.state == "paid" else self._orders.close
            await give_up(order.number)
            return "closed"
        await self._orders.later(order.number, next_look(open_, now))
        return "later"

    async def _credit(self, order: Order, payment: Payment) -> str:
        try:
            await self._cashier.credit(payment)
        except PaymentRefused as refused:
            await self._orders.dispute(order.number, refused.word)
            return refused.word
        return "paid"


def next_look(open_: Open, now: datetime) -> datetime:
    """By its age, however often it was asked about."""
    age = now - open_.created_at
    waits = [wait for wait in (*ASK_AFTER, CLOSE_AFTER) if wait > age]
    return open_.created_at + waits[0] if waits else now + ASK_AFTER[-1]
