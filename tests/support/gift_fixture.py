"""Users with balances, alone or in one live room, and processes that give gifts for them."""

from collections.abc import Callable
from typing import Any, Self

import pytest

from ledger.gifts import GiftTransfer
from rooms.events import NumberedEvent
from rooms.members import Person
from rooms.room import Room
from storage.database import Document
from tests.support.room_builders import HOST, NOW
from tests.support.storage import GiftProcess, StoresFixture, rose
from tests.support.stored_rooms import change_room, open_room

EPOCH = "e1"
NO_EVENT = (None, None, None)
in_room_or_not = pytest.mark.parametrize("in_room", [False, True], ids=["no room", "room"])


class GiftFixture:
    """`user_ids` are in the room `live_id` of HOST, which is 0 if there is no room."""

    def __init__(self, stores: StoresFixture, user_ids: list[str], live_id: int = 0) -> None:
        self.stores = stores
        self.user_ids = user_ids
        self.live_id = live_id
        self.process = GiftProcess(stores)

    @classmethod
    async def create(
        cls, stores: StoresFixture, *balances: tuple[int, int], in_room: bool = True
    ) -> Self:
        """With a user for each balance of gold and income."""
        user_ids = await stores.create_users(*balances)
        if not in_room:
            return cls(stores, user_ids)
        live_id = await open_room(stores, *map(Person, user_ids), epoch=EPOCH)
        return cls(stores, user_ids, live_id)

    def rose(self, request_id: str = "", **terms: Any) -> GiftTransfer:
        """From the first user to the second."""
        return rose(self.user_ids[0], self.user_ids[1], request_id, **terms)

    def processes(self, n: int) -> list[GiftProcess]:
        return [GiftProcess(self.stores) for _ in range(n)]

    # ---- changes of the room by another process

    async def change(self, rule: Callable[[Room], Any], *user_ids: str) -> None:
        await change_room(self.stores, self.live_id, rule, *user_ids)

    async def enter(self, person: Person) -> None:
        await self.change(lambda room: room.enter(person, NOW), person.user_id)

    async def leave(self, user_id: str) -> None:
        await self.change(lambda room: room.leave(user_id), user_id)

    async def end(self) -> None:
        await self.change(lambda room: room.close("host"), HOST.user_id)

    # ---- results

    async def balances(self) -> list[tuple[int, int]]:
        """(gold, income) of each user."""
        return [await self.stores.balance(user_id) for user_id in self.user_ids]

    async def events(self) -> list[NumberedEvent]:
        log = await self.stores.rooms.log_since(self.live_id, EPOCH, 0)
        assert log is not None
        return log

    async def event_types(self) -> list[str]:
        return [event.type for event in await self.events()]

    async def check(self) -> None:
        await self.stores.check_ledger()


def event_references(entries: list[Document]) -> list[tuple[Any, ...]]:
    """(live_id, epoch, seq) of the event of each entry; NO_EVENT for an entry without one."""
    return [(entry.get("live_id"), entry.get("epoch"), entry.get("seq")) for entry in entries]
