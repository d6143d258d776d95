"""Gifts: what there is to give, and giving it."""

from typing import Any

from handlers import answers, asks
from handlers.admission import Welcome
from handlers.base import call
from money.refusals import InsufficientGold
from money.teller import Answer, Heard, Present, Write, gift_content
from rooms.events import Gift
from rooms.refusals import BadParameter, NoSuchPage
from rooms.room import Room
from storage.users import User


class GiftList(Welcome):
    """A page of gifts, with the addresses of its neighbours."""

    @call
    async def get(self, ask: asks.Page) -> answers.GiftPage:
        size = self.parts.settings.pages.size
        count, rows = await self.parts.gifts.page((ask.page - 1) * size, size)
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
        content = gift_content(ask.user_id, ask.gift_id, ask.num)
        if given := await parts.teller.given(sender.user_id, ask.request_id, content):
            return answers.GiftGiven.model_validate(given)
        gift = await parts.gifts.get(ask.gift_id)
        receiver = await parts.users.get(ask.user_id)
        present = Present(
            sender.user_id,
            receiver.user_id,
            ask.gift_id,
            gift["gold"],
            ask.num,
            await parts.configs.rate("EXCHANGE_RATE"),
            ask.request_id,
            parts.settings.gifts.repeat_window_ms,
        )
        event = _event(present, sender, receiver, gift)

        async def tell(write: Write) -> Answer | None:
            return await self._tell(event, write)

        return answers.GiftGiven.model_validate(await parts.teller.give(present, tell))

    async def _tell(self, event: Gift, write: Write) -> Answer | None:
        """Write the entry together with the event of the room that both are in, if any."""
        sender, receiver = event["from"]["user_id"], event["to"]["user_id"]
        places = [await self.parts.members.get(who) for who in (sender, receiver)]
        if places[0] is None or places[1] is None or places[0].live_id != places[1].live_id:
            return None
        answer: list[Answer] = []

        async def also(tx: Any, room: Room) -> None:
            answer[:] = [
                await write(tx, Heard(room.live_id, room.epoch, room.version + len(room.events)))
            ]

        heard = await self.parts.keeper.change(
            places[0].live_id, lambda room: room.hear_gift(event), sender, receiver, also=also
        )
        return answer[0] if heard else None


def _event(present: Present, sender: User, receiver: User, gift: dict[str, Any]) -> Gift:
    return {
        "from": sender.person().face(),
        "to": receiver.person().face(),
        "gift": {key: gift[key] for key in ("id", "name", "image", "effect")},  # type: ignore[typeddict-item]
        "num": present.num,
        "gold": present.cost,
        "request_id": present.request_id,
    }
