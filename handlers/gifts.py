"""Gifts: the catalogue, and giving."""

from core.errors import InvalidParameter
from handlers.auth import ActiveUserHandler
from handlers.base import endpoint
from handlers.errors import PageNotFound
from handlers.schemas import requests, responses
from ledger.errors import InsufficientGold, RequestIdReused
from services.errors import RateMissing
from storage.errors import GiftNotFound, UserNotFound


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
