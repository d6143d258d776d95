"""Gifts of a giver, and the events of a room: each gift has one request_id until acknowledged."""

import itertools
from typing import Any

from chaos.crash.environment import CrashEnvironment
from chaos.crash.paths import RequestPath
from chaos.load import GIFT_ID
from ledger.gifts import gift_key
from rooms.events import LOG_SIZE
from storage.database import Document
from tests.support.client import Api, Reply, UserClient

REPEATS = 2
"""The second response must equal the first."""


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

    async def collect(self) -> None:
        room = await self._env.database.collection("rooms").find_one({"_id": self.live_id})
        assert room is not None
        for row in room["log"].values():
            if self.by_number.setdefault(row["seq"], row) != row:
                self._env.violations.add("conflicting_event", f"room {self.live_id}: {row}")


class Gifts:
    """Gifts of one giver to one recipient; `events`: of the room that both are in, if any."""

    def __init__(
        self,
        env: CrashEnvironment,
        name: str,
        giver: UserClient,
        recipient: UserClient,
        events: RoomEvents | None = None,
    ) -> None:
        self.giver, self.events = giver, events
        self.responses: dict[str, Any] = {}
        """First response, by key of the ledger."""
        self._env, self._name, self._recipient = env, name, recipient
        self._numbers = itertools.count(1)
        self.path = RequestPath(
            name,
            env,
            self._next_request_id,
            self._send,
            record=self._record,
            before_repair=self._check_recorded,
            repeats=REPEATS,
        )

    async def _next_request_id(self) -> str:
        number = next(self._numbers)
        if self.events and number % (LOG_SIZE // 2) == 1:
            await self.events.collect()
        return f"{self._name}-{number:06}"

    async def _send(self, api: Api, request_id: str) -> Reply:
        gift: Any = {"user_id": self._recipient.id, "gift_id": GIFT_ID, "request_id": request_id}
        return await self.giver.through(api).get("qlive_gift/push_gift/", **gift)

    def _record(self, request_id: str, reply: Reply) -> None:
        key = gift_key(self.giver.id, request_id)
        if not reply.succeeded or reply.json["status"] != "success":
            self._env.violations.add("unexpected_response", f"{request_id}: {reply}")
        elif self.responses.setdefault(key, reply.json) != reply.json:
            detail = f"{request_id}: {self.responses[key]}, then {reply.json}"
            self._env.violations.add("conflicting_responses", detail)

    async def _check_recorded(self, request_id: str) -> None:
        """Check that an acknowledged gift is recorded before a repetition could record it."""
        key = gift_key(self.giver.id, request_id)
        ledger = self._env.database.collection("ledger")
        if key in self.responses and await ledger.find_one({"_id": key}) is None:
            self._env.violations.add("gift_lost", f"{request_id}: {self.responses[key]}")
