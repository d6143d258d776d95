"""Users who give one gift after another, and how long none was acknowledged."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from chaos.actors import GIFT_ID
from chaos.api import FleetUser
from chaos.room_load import RoomLoad
from chaos.run import Run
from tests.support.client import BASE, Reply

RETRY_SECONDS = 0.1
"""Pause before a request that failed is sent again: short, since it counts as downtime."""
PAUSE_SECONDS = 0.1


@dataclass
class Acknowledged:
    """Gifts and when they were acknowledged, by time.time()."""

    givers: dict[str, str] = field(default_factory=dict)
    """Giver's user_id by request_id."""
    at: list[float] = field(default_factory=list)

    def record(self, request_id: str, user: FleetUser) -> None:
        self.givers[request_id] = user.id
        self.at.append(time.time())


@dataclass
class Sender:
    """Gives the host of a room gifts, each until it is acknowledged."""

    run: Run
    room: RoomLoad
    user: FleetUser
    acknowledged: Acknowledged
    granted: int = 0
    """Gold that is granted before each gift, 0 for a user who has enough. With the price of one
    gift, a server that does not see the grant refuses."""

    async def give_all(self) -> None:
        number = 0
        while self.room.running:
            number += 1
            request_id = f"{self.user.name}-{number}"
            if self.granted:
                grant = {"gold": self.granted, "reason": "chaos", "request_id": request_id}
                await self.run.api.ops_request("POST", f"users/{self.user.id}/grant", **grant)
            await self._give(request_id)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _give(self, request_id: str) -> None:
        started_at, response = time.time(), await self._attempt(request_id)
        while response.status in (0, 503):
            await asyncio.sleep(RETRY_SECONDS)
            response = await self._attempt(request_id)
        if self.room.record(response, f"gift {request_id}", started_at):
            if response.json["status"] == "success":
                self.acknowledged.record(request_id, self.user)
            else:
                self.run.violations.add("gift_rejected", f"{request_id}: {response.json}")

    async def _attempt(self, request_id: str) -> Reply:
        gift = {"user_id": self.room.host.id, "gift_id": GIFT_ID, "request_id": request_id}
        node = self.room.rng.choice(self.run.fleet.nodes)
        path, headers = f"{BASE}qlive_gift/push_gift/", self.user.headers
        return await self.run.api.request_once("GET", path, node, params=gift, headers=headers)


async def gift_price(run: Run) -> int:
    gifts = (await run.rooms[0].host.get("qlive_gift/")).json["results"]
    price: int = next(gift["gold"] for gift in gifts if gift["id"] == GIFT_ID)
    return price


def longest_gap(times: Iterable[float], since: float, until: float) -> float:
    """The longest time without any of these times between `since` and `until`."""
    marks = [since, *sorted(at for at in times if since <= at <= until), until]
    return max(after - before for before, after in pairwise(marks))
