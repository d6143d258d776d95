"""Gold: recharge, gifts, rankings, and the configs of the mini-program.

China's rules on live tipping forbid rankings by gifts alone, and the display of a user's spending
without consent: rankings show who agreed, without any sum. Production shows none unless
`ranking.public` says so.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.clock import day_of
from core.errors import InvalidParameter
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.errors import PageNotFound
from handlers.schemas import requests, responses
from ledger.errors import InsufficientGold, RequestIdReused
from ledger.gifts import day_scope, live_scope
from rooms.errors import RoomNotFound
from rooms.members import Face
from services.errors import RateMissing, SessionKeyMissing, TooManyOrders
from storage.errors import BlockNotFound, GiftNotFound, UserNotFound
from tencent.errors import ServiceUnavailable

MAX_SHOWN = 50
"""Longest list that is shown."""
CANDIDATES = 500
"""Users at the top of a ranking who are considered; bounds the two queries."""


class PayHandler(ActiveUserHandler):
    soft_errors = {TooManyOrders: "success"}

    @endpoint(limit="read")
    async def get(self) -> responses.BlockListResponse:
        """List the blocks of gold for sale."""
        return responses.BlockListResponse(
            [block_response(row) for row in await self.context.stores.blocks.all()]
        )

    @endpoint(
        limit="order",
        errors=[SessionKeyMissing, BlockNotFound, TooManyOrders, ServiceUnavailable("pay")],
    )
    async def post(self, params: requests.PayRequest) -> responses.OrderResponse:
        """Order a block of gold; the gold is credited when the payment is confirmed.

        Repeating an order that is still open answers the same order again.
        """
        order = await self.context.services.recharge.order(
            self.user, params.block_id, params.platform
        )
        return responses.OrderResponse(**order._asdict())


def block_response(row: Mapping[str, Any]) -> responses.BlockResponse:
    yuan, fen = divmod(row["fen"], 100)
    return responses.BlockResponse(id=row["id"], gold=row["gold"], price=f"{yuan}.{fen:02}")


class GiftListHandler(ActiveUserHandler):
    """One page of gifts, with the URLs of the next and previous page."""

    read_only = True

    @endpoint(limit="read", errors=[PageNotFound])
    async def get(self, params: requests.PageRequest) -> responses.GiftPageResponse:
        size = self.context.settings.pages.size
        gifts = [*(await self.context.services.catalogue.current()).gifts.values()]
        count, rows = len(gifts), gifts[(params.page - 1) * size : params.page * size]
        if not rows and params.page > 1:
            raise PageNotFound
        return responses.GiftPageResponse(
            count=count,
            next=self._page_url(params.page + 1) if params.page * size < count else None,
            previous=self._page_url(params.page - 1) if params.page > 1 else None,
            results=[responses.GiftResponse.model_validate(row) for row in rows],
        )

    def _page_url(self, page: int) -> str:
        return f"{self.scheme}://{self.request.host}{self.request.path}?page={page}"


class PushGiftHandler(ActiveUserHandler):
    """Give a user a gift; the room that both are in receives an event."""

    soft_errors = {InsufficientGold: "status"}

    @endpoint(
        limit="gift",
        errors=[UserNotFound, GiftNotFound, InsufficientGold, RequestIdReused, RateMissing],
    )
    async def get(self, params: requests.PushGiftRequest) -> responses.GiftGivenResponse:
        if params.user_id == self.user.user_id:
            raise InvalidParameter({"user_id": "you cannot give a gift to yourself"})
        result = await self.context.services.gifts.send(
            self.user.user_id,
            params.user_id,
            params.gift_id,
            params.num,
            params.request_id,
        )
        return responses.GiftGivenResponse.model_validate(result)


class RankHandler(ActiveUserHandler):
    """Gift ranking of the room's current live, or of the last one until the next starts."""

    read_only = True

    @endpoint(limit="read", errors=[RoomNotFound])
    async def get(self, params: requests.LiveRequest) -> responses.RankResponse:
        room = await self.context.keeper.load(params.live_id)
        return await _ranking(self.context, live_scope(room.live_id, room.epoch))


class DayRankHandler(ActiveUserHandler):
    """Ranking of all gifts of one day in China (UTC+8), today by default."""

    read_only = True

    @endpoint(limit="read")
    async def get(self, params: requests.DayRequest) -> responses.RankResponse:
        return await _ranking(self.context, day_scope(params.day or day_of(datetime.now(UTC))))


async def _ranking(context: Context, scope: str) -> responses.RankResponse:
    if not context.settings.rankings_are_public:
        return responses.RankResponse(senders=[], takings=[])
    senders = await _shown(context, scope, "gold")
    receivers = await _shown(context, scope, "income")
    return responses.RankResponse.model_validate({"senders": senders, "takings": receivers})


async def _shown(context: Context, scope: str, unit: str) -> list[Face]:
    """Those who agreed among the first of the ranking, highest first."""
    ranked = await context.stores.rankings.top(scope, unit, CANDIDATES)
    shown = await context.stores.users.shown_in_rankings([user_id for user_id, _ in ranked])
    return [user.person().face() for user in shown[:MAX_SHOWN]]


class GetConfigsHandler(ActiveUserHandler):
    """All enabled configs except the exchange and withdraw rates."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> responses.ConfigsResponse:
        return responses.ConfigsResponse(await self.context.stores.configs.public_values())
