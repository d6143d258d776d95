"""The paths of gifts: a giver repeats each request with the same request_id until acknowledged."""

from typing import Any

from chaos.actors import GIFT_ID
from chaos.crash.environment import CrashEnvironment, EnvironmentUser
from ledger.gifts import gift_key
from storage.database import Document
from storage.rooms import LOG_SIZE
from tests.support.client import Reply

REPEATS = 2


class RoomEvents:
    """All events of a live session, collected before the room drops its oldest ones."""

    def __init__(self, env: CrashEnvironment, live_id: int) -> None:
        self.live_id = live_id
        self.by_number: dict[int, Document] = {}
        self._env = env

    @property
    def names(self) -> dict[int, str]:
        """By number: the request_id of a gift, otherwise a name that no other event has."""
        return {
            number: row["data"]["request_id"]
            if row["type"] == "gift"
            else f"{row['type']} {number}"
            for number, row in self.by_number.items()
        }

    async def collect(self) -> Document:
        """Returns the stored room."""
        rooms = self._env.database.collection("rooms")
        room = await rooms.find_one({"_id": self.live_id})
        assert room is not None
        for row in room["log"].values():
            if self.by_number.setdefault(row["seq"], row) != row:
                self._env.violations.add("conflicting_event", f"room {self.live_id}: {row}")
        return room


class GiftPath:
    """Gifts of one giver to one recipient, outside of rooms."""

    def __init__(
        self,
        env: CrashEnvironment,
        name: str,
        giver: EnvironmentUser,
        recipient: EnvironmentUser,
        events: RoomEvents | None = None,
    ) -> None:
        """`events`: those of the room that both are in."""
        self.env, self.name, self.giver, self.events = env, name, giver, events
        self.responses: dict[str, Any] = {}
        """First response, by request_id."""
        self.acknowledged_at_once = 0
        """Gifts that were acknowledged although their server crashed."""
        self._recipient = recipient
        self._number = 0
        self._pending = ""
        """request_id of the previous attempt."""

    @property
    def responses_by_key(self) -> dict[str, Any]:
        """The responses by the idempotency keys of the ledger."""
        return {gift_key(self.giver.id, name): body for name, body in self.responses.items()}

    async def prepare(self) -> str:
        """Returns the next request_id."""
        self._number += 1
        return f"{self.name}-{self._number:06}"

    async def repair(self) -> None:
        """Repeat the previous gift, which may be lost, and once more for an equal response."""
        if self._pending in self.responses:
            await self._check_booked(self._pending)  # before a repetition could book it
        for _ in range(REPEATS if self._pending else 0):
            params = self._params(self._pending)
            self._record(self._pending, await self.giver.get("qlive_gift/push_gift/", **params))

    async def attempt(self, target: str) -> None:
        """Send the gift once; its server crashes meanwhile."""
        params = self._params(target)
        response = await self.giver.get_once("qlive_gift/push_gift/", **params)
        self._pending = target
        if response.status:
            self.acknowledged_at_once += 1
            self._record(target, response)

    async def settle(self) -> None:
        await self.repair()

    async def _check_booked(self, request_id: str) -> None:
        key = gift_key(self.giver.id, request_id)
        if await self.env.database.collection("ledger").find_one({"_id": key}) is None:
            self.env.violations.add("gift_lost", f"{request_id}: {self.responses[request_id]}")

    def _params(self, request_id: str) -> dict[str, Any]:
        return {"user_id": self._recipient.id, "gift_id": GIFT_ID, "request_id": request_id}

    def _record(self, request_id: str, response: Reply) -> None:
        if not response.succeeded or response.json["status"] != "success":
            self.env.violations.add("unexpected_response", f"{request_id}: {response}")
        elif self.responses.setdefault(request_id, response.json) != response.json:
            words = f"{request_id}: {self.responses[request_id]}, then {response.json}"
            self.env.violations.add("conflicting_responses", words)


class RoomGiftPath(GiftPath):
    """Gifts to the host of the room that both are in, each with a room event."""

    def __init__(
        self, env: CrashEnvironment, giver: EnvironmentUser, host: EnvironmentUser, live_id: int
    ) -> None:
        self.room_events = RoomEvents(env, live_id)
        super().__init__(env, "gift", giver, host, self.room_events)

    async def prepare(self) -> str:
        if self._number % (LOG_SIZE // 2) == 0:  # the room drops its oldest events
            await self.room_events.collect()
        return await super().prepare()

    async def settle(self) -> None:
        await super().settle()
        await self.room_events.collect()
