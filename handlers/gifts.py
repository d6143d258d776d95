"""Gifts: what there is to give, and giving it."""

from handlers import answers, asks
from handlers.admission import Welcome
from handlers.base import call
from handlers.giving import Asked
from money.gift import Present
from money.refusals import InsufficientGold
from rooms.refusals import BadParameter, NoSuchGift, NoSuchPage


class GiftList(Welcome):
    """A page of gifts, with the addresses of its neighbours."""

    only_reads = True

    @call
    async def get(self, ask: asks.Page) -> answers.GiftPage:
        size = self.parts.settings.pages.size
        gifts = [*(await self.parts.catalogue.wares()).gifts.values()]
        count, rows = len(gifts), gifts[(ask.page - 1) * size : ask.page * size]
        if not rows and ask.page > 1:
            raise NoSuchPage
        return answers.GiftPage(
            count=count,
            next=self._address(ask.page + 1) if ask.page * size < count else None,
            previous=self._address(ask.page - 1) if ask.page > 1 else None,
            results=[answers.Gift.model_validate(row) for row in rows],
        )

    def _address(self, page: int) -> str:
        return f"{self.scheme}://{self.request.host}{self.request.path}?page={page}"


class PushGift(Welcome):
    """Give somebody a gift; the room that both are in hears of it."""

    soft_refusals = {InsufficientGold: "status"}

    @call
    async def get(self, ask: asks.PushGift) -> answers.GiftGiven:
        parts, sender = self.parts, self.user
        if ask.user_id == sender.user_id:
            raise BadParameter({"user_id": "a gift is for somebody else"})
        wares = await parts.catalogue.wares()
        gift = wares.gifts.get(ask.gift_id)
        present = Present(
            sender.user_id,
            ask.user_id,
            ask.gift_id,
            gift["gold"] if gift else 0,
            ask.num,
            wares.rate,
            ask.request_id,
            parts.settings.gifts.repeat_window_ms,
        )
        if gift is None and (given := await parts.giving.given(present)):
            return answers.GiftGiven.model_validate(given)  # it was there when it was given
        if gift is None:
            raise NoSuchGift
        return answers.GiftGiven.model_validate(await parts.giving.give(Asked(present, gift)))
