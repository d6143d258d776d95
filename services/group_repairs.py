"""Queues checks and replacements of chat groups."""

import time
from collections import OrderedDict
from collections.abc import Callable

from storage.outbox import OutboxStore

REPEAT_SECONDS = 60.0  # for one room, in case that IM does not have the new group either
EXPECTED_SECONDS = 15.0  # usually a replacement takes one or two
MAX_ROOMS = 1000  # remembered; for others a replacement may be queued earlier

ENSURE, REPLACE = "ensure_group", "replace_group"
MUTE_AGAIN = "mute_again"  # in a new group
GROUP_KINDS = (ENSURE, REPLACE, MUTE_AGAIN)
"""Message kinds of a lane of their own: starting lives must not delay what protects users."""


class GroupRepairs:
    """Queues work on groups that IM has dissolved, or may have."""

    def __init__(self, outbox: OutboxStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` in seconds."""
        self._outbox = outbox
        self._clock = clock
        self._queued_at: OrderedDict[int, float] = OrderedDict()  # by live_id

    async def ensure(self, live_id: int, group_id: str) -> None:
        """Queue the creation of the group, should it not exist."""
        await self._add(ENSURE, live_id, group_id)

    async def replace(self, live_id: int, group_id: str) -> None:
        """Queue the replacement of a dissolved group."""
        await self._add(REPLACE, live_id, group_id)

    async def expect_replacement(self, live_id: int, group_id: str) -> bool:
        """Queue the replacement of a dissolved group, for one room at most once a minute.

        True in the first seconds after that, while the replacement is to be expected.
        """
        now = self._clock()
        queued_at = self._queued_at.get(live_id)
        if queued_at is None or now - queued_at >= REPEAT_SECONDS:
            await self.replace(live_id, group_id)
            self._note_queued(live_id, now)
            return True
        return now - queued_at < EXPECTED_SECONDS

    async def _add(self, kind: str, live_id: int, group_id: str) -> None:
        payload = {"live_id": live_id, "group_id": group_id}
        await self._outbox.add(kind, payload, urgent=True, key=group_id)

    def _note_queued(self, live_id: int, now: float) -> None:
        self._queued_at[live_id] = now
        self._queued_at.move_to_end(live_id)
        if len(self._queued_at) > MAX_ROOMS:
            self._queued_at.popitem(last=False)
