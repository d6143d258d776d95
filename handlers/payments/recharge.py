"""Recharge: the blocks of gold for sale, and their orders."""

from collections.abc import Mapping
from typing import Any

from handlers.base import ActiveUserHandler, endpoint
from handlers.payments.models import BlockListResponse, BlockResponse, OrderResponse, PayRequest
from services.errors import AgeUnverified, SessionKeyMissing, TooManyOrders
from storage.errors import BlockNotFound
from tencent.errors import ServiceUnavailable


class PayHandler(ActiveUserHandler):
    soft_errors = {TooManyOrders: "success"}

    @endpoint(limit="read")
    async def get(self) -> BlockListResponse:
        """List the blocks of gold for sale."""
        return BlockListResponse(
            [block_response(row) for row in await self.context.stores.blocks.all()]
        )

    @endpoint(
        limit="order",
        errors=[
            AgeUnverified,
            SessionKeyMissing,
            BlockNotFound,
            TooManyOrders,
            ServiceUnavailable("pay"),
        ],
    )
    async def post(self, params: PayRequest) -> OrderResponse:
        """Order a block of gold; the gold is credited when the payment is confirmed.

        Repeating an order that is still open answers the same order again.
        """
        services = self.context.services
        services.accounts.age_verification.check(self.user)
        order = await services.payments.recharge.order(self.user, params.block_id, params.platform)
        return OrderResponse(**order._asdict())


def block_response(row: Mapping[str, Any]) -> BlockResponse:
    yuan, fen = divmod(row["fen"], 100)
    return BlockResponse(id=row["id"], gold=row["gold"], price=f"{yuan}.{fen:02}")
