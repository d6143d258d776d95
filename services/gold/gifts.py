"""Gives gifts, inside and outside of rooms."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from core.errors import QLiveError
from ledger.errors import InsufficientGold
from ledger.gifts import GiftTransfer
from ledger.giving import GivingRules
from ledger.journal import EventReference, JsonObject
from rooms.events import GiftEvent, NewEvent
from rooms.room import Room
from services.accounts.age_verification import AgeVerificationService
from services.gold.catalogue import CatalogueService
from services.gold.ledger import LockUsers
from services.moderation.user_safety import UserSafetyService
from services.room_changes import BatchData, RoomChanges
from storage.accounts.users import User
from storage.errors import UserNotFound
from storage.gold.ledger import BatchContext
from storage.stores import Stores
from storage.webhooks.payloads import GiftGivenPayload


class GiftService:
    """Gives gifts, idempotently by request_id.

    In a room, a gift is a change of the room, which `RoomChanges` batches with others. A repeated
    request_id returns the stored answer.
    """

    def __init__(
        self,
        stores: Stores,
        room_changes: RoomChanges,
        catalogue: CatalogueService,
        age_verification: AgeVerificationService,
        user_safety: UserSafetyService,
        *,
        lock: LockUsers,
        rules: GivingRules,
    ) -> None:
        """Take a `lock` of users within the process, and the `rules` of the house."""
        self._ledger = ledger = stores.ledger
        self._members = stores.members
        self._webhooks = stores.webhooks
        self._room_changes = room_changes
        self._lock = lock
        self._catalogue = catalogue
        self.rules = rules
        self._age_verification = age_verification
        self._user_safety = user_safety
        self._batch_data = BatchData(ledger.load_context, ledger.add_writes)

    async def send(
        self,
        sender: User,
        receiver: str,
        gift_id: int,
        num: int,
        request_id: str,
        *,
        confirmed: bool = False,
    ) -> JsonObject:
        """Give `num` gifts of the catalogue at its price and rate; return as `give`.

        A repeated request for a gift that cannot be given any more returns the stored answer.
        Raises AgeUnverified, HighRisk or Blocked if the sender may not give it, GiftNotFound,
        RateMissing, or as `give`.
        """
        new = GiftTransfer(sender.user_id, receiver, gift_id, 0, num, Decimal(0), request_id)
        try:
            self._age_verification.check(sender)
            self._user_safety.check_rank(sender)
            await self._user_safety.check_pair(sender, receiver)
            gift, rate = (await self._catalogue.current()).priced(gift_id)
        except QLiveError:
            if earlier := await self._ledger.find(new.key):
                return earlier.answer_to(new.content)
            raise
        terms = {"gold": gift["gold"], "rate": rate, "rules": self.rules}
        return await self.give(replace(new, **terms, confirmed=confirmed, shown=gift))

    async def give(self, transfer: GiftTransfer) -> JsonObject:
        """Give a gift, in the room that both users are in or outside; return as GiftBatch.give.

        Raises InsufficientGold, RequestIdReused, UserNotFound, or refusals of the rules of giving.
        """
        try:
            return await self._give(transfer)
        except InsufficientGold:
            # A new primary may not yet show a change that the previous one has acknowledged.
            await self._ledger.confirm_primary()
            return await self._give(transfer)

    async def _give(self, transfer: GiftTransfer) -> JsonObject:
        answer: JsonObject | None = None
        live_id = await self._members.shared(*transfer.user_ids)
        if live_id is not None:
            answer = await self._room_changes.change_with(
                live_id,
                self._batch_data,
                transfer,
                lambda room, context: _give_in_room(room, context, transfer),
                *transfer.user_ids,
            )
        return answer or await self._give_outside(transfer)

    async def _give_outside(self, transfer: GiftTransfer) -> JsonObject:
        """Give a gift between users who share no room; publishes no event."""

        async def work(tx: Any) -> JsonObject:
            context = await self._ledger.load_context([transfer])
            if not context.has(*transfer.user_ids):
                raise UserNotFound
            batch = context.batch
            answer = batch.find_answer(transfer) or batch.give(transfer, None)
            if batch.entries:
                await self._ledger.write_gifts(tx, context)
                given = GiftGivenPayload(
                    sender_id=transfer.sender,
                    receiver_id=transfer.receiver,
                    gift_id=transfer.gift_id,
                    num=transfer.num,
                    gold=transfer.cost,
                )
                await self._webhooks.add(tx, NewEvent("gift.given", given))
            return answer

        async with self._lock(*transfer.user_ids):
            return await self._ledger.run_transaction(work)


def _give_in_room(room: Room, context: BatchContext, transfer: GiftTransfer) -> JsonObject | None:
    """Give with a room event; return None unless both users are there and exist."""
    batch = context.batch
    if earlier := batch.find_answer(transfer):
        return earlier
    if not room.has(*transfer.user_ids) or not context.has(*transfer.user_ids):
        return None
    event = EventReference(room.live_id, room.epoch, room.version + len(room.events) + 1)
    answer = batch.give(transfer, event, private=room.visibility == "private")
    gift: GiftEvent = {
        "from": context.faces[transfer.sender],
        "to": context.faces[transfer.receiver],
        "gift": {key: transfer.shown[key] for key in ("id", "name", "image", "effect")},  # type: ignore[typeddict-item]
        "num": transfer.num,
        "gold": transfer.cost,
        "request_id": transfer.request_id,
    }
    room.add_gift(gift, transfer.receiver_income)
    return answer
