"""The paths of gifts: a giver repeats each request with the same request_id until acknowledged."""

from typing import Any

from chaos.actors import GIFT_ID
from chaos.crash.environment import CrashEnvironment, EnvironmentUser
from chaos.http_client import ApiResponse
from ledger.gifts import gift_key
from storage.rooms import LOG_SIZE

REPEATS = 2


class GiftPath:
    """Gifts of one giver to one recipient outside of rooms."""

    def __init__(
        self, env: CrashEnvironment, name: str, giver: EnvironmentUser, recipient: EnvironmentUser
    ) -> None:
        self.env, self.name, self.giver = env, name, giver
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
        response = await self.giver.get_once("qlive_gift/push_gift/", **self._params(target))
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

    def _record(self, request_id: str, response: ApiResponse) -> None:
        if not response.ok or response.json["status"] != "success":
            self.env.violations.add("unexpected_response", f"{request_id}: {response}")
        elif self.responses.setdefault(request_id, response.json) != response.json:
            words = f"{request_id}: {self.responses[request_id]}, then {response.json}"
            self.env.violations.add("conflicting_responses", words)


class RoomGiftPath(GiftPath):
    """Gifts to the host of the room that both are in, each with a room event."""

    def __init__(
        self, env: CrashEnvironment, giver: EnvironmentUser, host: EnvironmentUser, live_id: int
    ) -> None:
        super().__init__(env, "gift", giver, host)
        self.live_id = live_id
        self.events: dict[int, str] = {}
        """Room events by number: the request_id of a gift, otherwise the event's type."""
        self._collected_at = 0

    async def prepare(self) -> str:
        if self._number - self._collected_at > LOG_SIZE // 2:  # the room drops its oldest events
            await self._collect_events()
        return await super().prepare()

    async def settle(self) -> None:
        await super().settle()
        await self._collect_events()

    async def _collect_events(self) -> None:
        logs = await self.env.mongod.room_logs(self.env.settings.mongodb.database)
        for (live_id, _), rows in logs.items():
            for row in rows if live_id == self.live_id else ():
                name = row["data"]["request_id"] if row["type"] == "gift" else row["type"]
                if self.events.setdefault(row["seq"], name) != name:
                    self.env.violations.add("conflicting_event", f"{row['seq']}: {name}")
        self._collected_at = self._number
