"""The path of a batch: changes of several rooms that are decided and committed together."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from chaos.crash.crash_points import BATCH_ROOMS, BATCH_SIZE
from chaos.crash.environment import CrashEnvironment, EnvironmentUser
from chaos.crash.gift_paths import GiftPath, RoomEvents
from chaos.http_client import ApiResponse
from chaos.operations import key_of
from storage.database import Document

BATCH = ((10, 10, 2), *[(0, 2, 0)] * (BATCH_ROOMS - 1))
"""Gifts, applications and refused changes of each room."""
assert sum(map(sum, BATCH)) == BATCH_SIZE


class BatchRoom:
    """The changes of one room: gifts, applications or their withdrawals, and refused changes."""

    def __init__(
        self,
        env: CrashEnvironment,
        host: EnvironmentUser,
        live_id: int,
        users: Sequence[EnvironmentUser],
        givers: int,
        applicants: int,
    ) -> None:
        """The first `users` give, the next ones apply or withdraw, the others are refused."""
        self.events = RoomEvents(env, live_id)
        self.givers = [GiftPath(env, "batch", user, host, self.events) for user in users[:givers]]
        self._env, self._host = env, host
        self._applicants = users[givers : givers + applicants]
        self._refused = users[givers + applicants :]
        self._answers = 0
        self._version = 0
        self._applied: set[str] = set()
        """Users who had applied when the batch was sent."""
        self._batch = ""
        self._acknowledged = False

    @property
    def acknowledged_at_once(self) -> int:
        return self._answers + sum(giver.acknowledged_at_once for giver in self.givers)

    async def attempt(self, batch: str) -> None:
        """Send all changes at once; their server crashes meanwhile."""
        before, self._batch = self.acknowledged_at_once, batch
        await asyncio.gather(
            *(giver.attempt(self._gift(giver), batch=batch) for giver in self.givers),
            *(self._apply_or_withdraw(user) for user in self._applicants),
            *(self._take_host_off_mic(user) for user in self._refused),
        )
        self._acknowledged = self.acknowledged_at_once > before

    async def repair(self) -> None:
        """Repeat the gifts, and check that the batch was saved as a whole or not at all."""
        await asyncio.gather(*(giver.repair() for giver in self.givers))
        room = await self.events.collect()
        if self._batch:
            self._check(room)
        self._version, self._applied = room["version"], {*room["applications"]}

    def _check(self, room: Document) -> None:
        new = [row for number, row in self.events.by_number.items() if number > self._version]
        keys = Counter(map(key_of, new))
        gifts = Counter(f"gift {self._gift(giver)}" for giver in self.givers)
        whole = gifts + Counter(self._key(user) for user in self._applicants)
        saved = keys == whole and len({row["ts"] for row in new}) == 1
        if not saved and (keys != gifts or self._acknowledged):
            self._env.violations.add("batch_torn", f"{self._batch}: {new}")
        changed = {user.id for user in self._applicants} if saved else set()
        if room["applications"].keys() != self._applied ^ changed:
            self._env.violations.add("wrong_state", f"{self._batch}: {room['applications']}")

    async def _apply_or_withdraw(self, user: EnvironmentUser) -> None:
        name = "refuse_micro" if user.id in self._applied else "apply_micro"
        params = {"live_id": self.events.live_id, "batch": self._batch}
        self._record(await user.post_once(f"qlive_room/{name}/", **params), 200)

    async def _take_host_off_mic(self, user: EnvironmentUser) -> None:
        params = {"live_id": self.events.live_id, "user_id": self._host.id, "batch": self._batch}
        self._record(await user.get_once("qlive_room/leave_micro/", **params), 403)

    def _record(self, response: ApiResponse, expected: int) -> None:
        self._answers += response.status == expected
        if response.status not in (0, expected):
            self._env.violations.add("unexpected_response", f"{self._batch}: {response}")

    def _gift(self, giver: GiftPath) -> str:
        return f"{self._batch}-{giver.giver.id}"

    def _key(self, user: EnvironmentUser) -> str:
        return f"{'micro_refuse' if user.id in self._applied else 'micro_apply'} {user.id}"


class BatchPath:
    """Changes of several rooms at once; each batch is complete or not there."""

    name = "batch"

    def __init__(self, rooms: Sequence[BatchRoom]) -> None:
        self.rooms = rooms
        self._number = 0

    @property
    def givers(self) -> list[GiftPath]:
        return [giver for room in self.rooms for giver in room.givers]

    @property
    def acknowledged_at_once(self) -> int:
        """Responses, refusals included, of servers that crashed."""
        return sum(room.acknowledged_at_once for room in self.rooms)

    async def prepare(self) -> str:
        """Returns the name of the next batch."""
        self._number += 1
        return f"batch-{self._number:06}"

    async def repair(self) -> None:
        await asyncio.gather(*(room.repair() for room in self.rooms))

    async def attempt(self, target: str) -> None:
        await asyncio.gather(*(room.attempt(target) for room in self.rooms))

    async def settle(self) -> None:
        await self.repair()
