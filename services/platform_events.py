"""Processes WeChat's events that move no gold; answers Apple's refund questions."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ledger.recharge import IOS, Order, RefusalReason
from ledger.refund_advice import Credit, GoldGift, advise
from services.inbox import DONE, CallbackOutcome, refused
from storage.ledger import LedgerStore
from storage.orders import OrderStore
from storage.refund_cases import SpentGoldStore
from tencent.errors import Unreadable
from tencent.json_reader import text
from tencent.message_push import COIN_PAYMENT, REFUND_QUESTION, event_name
from tencent.xpay import PROVIDER as XPAY

COIN_MODE = "coin_mode"
"""Why a payment for WeChat's own coins is refused: gold is kept in our ledger only."""


class PlatformEventService:
    """Decides what becomes of each event; the inbox keeps it, with the answer if there is one."""

    def __init__(self, orders: OrderStore, ledger: LedgerStore, spent_gold: SpentGoldStore) -> None:
        self._orders = orders
        self._ledger = ledger
        self._spent_gold = spent_gold

    async def process(self, content: Mapping[str, Any], *, signed: bool) -> CallbackOutcome:
        """The outcome of an event of PLATFORM_EVENTS; all but Apple's question are kept for good.

        Those concern money, a penalty or the duty to delete a user's data. `signed`: the signature
        covers the content, which is so in safe mode.
        """
        event = event_name(content)
        if event == REFUND_QUESTION:
            return await self._answer_apple(content, signed=signed)
        if event == COIN_PAYMENT:
            return CallbackOutcome("refused", COIN_MODE, lasting=True, event=event)
        return DONE._replace(lasting=True, event=event)

    async def _answer_apple(self, content: Mapping[str, Any], *, signed: bool) -> CallbackOutcome:
        """Advice from our own collections alone: no call to another service delays it.

        The order then counts as one that only Apple refunds.
        """
        try:
            number = text(content, "pay_order_id")
        except Unreadable:
            return refused("unreadable")
        order = await self._orders.find(number)
        if order is None or order.provider != XPAY:
            return refused(RefusalReason.ORDER.value)
        (credit, gifts), reversed_fen, _ = await asyncio.gather(
            self._spending_since(number, order.user_id),
            self._orders.refunded_fen(number),
            self._note_apple(order, signed=signed),
        )
        advice = advise(number, credit, gifts, reversed_fen, order.fen)
        return DONE._replace(lasting=True, event=REFUND_QUESTION, answer=advice._asdict())

    async def _note_apple(self, order: Order, *, signed: bool) -> None:
        """Apple's word overrides what the client has named."""
        if signed and order.platform != IOS:
            await self._orders.store_platform(order.number, IOS)

    async def _spending_since(
        self, number: str, user_id: str
    ) -> tuple[Credit | None, list[GoldGift]]:
        """The credit of an order, and the user's gifts since then."""
        credit = await self._ledger.credit_of(number)
        return credit, await self._spent_gold.gold_gifts(user_id, credit.at) if credit else []
