"""Rules of open orders: how a repeated request is answered, and how many a user may have."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.recharge import Order

OFFER_LIFETIME = timedelta(hours=2)
"""How long the provider takes a payment of an order: the lifetime of a prepay_id of WeChat Pay."""
OPEN_FOR = timedelta(minutes=105)
"""Age up to which an order is open: the quarter of an hour that is left suffices to pay it, and
covers clocks that differ."""
MAX_OPEN_ORDERS = 5
"""Open orders of a user. People compare a few blocks before they pay for one; each order costs a
call and several queries to the provider, so that a flood of them would delay all other payments."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An unpaid order that its user can still pay; it occupies one of the user's slots."""

    order: Order
    block_id: int
    slot: int
    created_at: datetime
    prepay_id: str = ""
    """The provider's id of the prepared payment; "" if there is none yet, or never."""

    @property
    def expires_at(self) -> datetime:
        """When the provider's offer ends; the same for every request about this order."""
        return self.created_at + OFFER_LIFETIME


def offer_key(order: Order, block_id: int) -> str:
    """Equal for orders that are worth the same to the user: same block, price, gold, provider."""
    parts = (order.user_id, order.provider, order.sandbox, block_id, order.fen, order.gold)
    return ":".join(map(str, parts))


def find_repeated(
    open_orders: Sequence[OpenOrder], order: Order, block_id: int
) -> OpenOrder | None:
    """The open order that a new one would repeat."""
    key = offer_key(order, block_id)
    return next((it for it in open_orders if offer_key(it.order, it.block_id) == key), None)


def free_slot(open_orders: Sequence[OpenOrder]) -> int | None:
    """The user's lowest free slot; None if all are occupied."""
    occupied = {it.slot for it in open_orders}
    return next((slot for slot in range(MAX_OPEN_ORDERS) if slot not in occupied), None)
