"""Recharge: blocks of gold for sale, and payment orders."""

from handlers.auth import ActiveUserHandler
from handlers.base import endpoint
from handlers.schemas import requests, responses
from services.errors import SessionKeyMissing, TooManyOrders
from storage.errors import BlockNotFound
from tencent.errors import ServiceUnavailable


class PayHandler(ActiveUserHandler):
    """List the blocks of gold, or order one; gold is credited when the payment is confirmed.

    Repeating an order that is still open answers the same order again.
    """

    soft_errors = {TooManyOrders: "success"}

    @endpoint(limit="read")
    async def get(self) -> responses.BlockListResponse:
        return responses.BlockListResponse(
            [_block(row) for row in await self.context.stores.blocks.all()]
        )

    @endpoint(
        limit="order",
        errors=[SessionKeyMissing, BlockNotFound, TooManyOrders, ServiceUnavailable("pay")],
    )
    async def post(self, params: requests.PayRequest) -> responses.OrderResponse:
        order = await self.context.services.recharge.order(
            self.user, params.block_id, params.platform
        )
        return responses.OrderResponse(**order._asdict())


def yuan(fen: int) -> str:
    """Fen as yuan with two decimals: 600 as "6.00"."""
    return f"{fen // 100}.{fen % 100:02}"


def _block(row: dict[str, int]) -> responses.BlockResponse:
    return responses.BlockResponse(id=row["id"], gold=row["gold"], price=yuan(row["fen"]))
