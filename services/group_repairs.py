"""Orders checks and replacements of chat groups, which the outbox carries out."""

import time
from collections import OrderedDict
from collections.abc import Callable

from storage.outbox import OutboxStore

ORDER_AGAIN_SECONDS = 60.0  # for one room, in case that IM does not have the new group either
EXPECTED_SECONDS = 15.0  # usually a replacement takes one or two
MAX_ROOMS = 1000  # remembered; for others a replacement may be ordered earlier

ENSURE, REPLACE = "ensure_group", "replace_group"
GROUP_KINDS = (ENSURE, REPLACE)
"""Message kinds of a lane of their own: starting lives must not delay what protects users."""


class GroupRepairs:
    """Queues work on groups that IM has dissolved, or may have."""

    def __init__(self, outbox: OutboxStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` in seconds."""
        self._outbox = outbox
        self._clock = clock
        self._ordered_at: OrderedDict[int, float] = OrderedDict()  # by live_id

    async def ensure(self, live_id: int, group_id: str) -> None:
        """Order that the group is created if it does not exist."""
        await self._add(ENSURE, live_id, group_id)

    async def replace(self, live_id: int, group_id: str) -> None:
        """Order the replacement of a dissolved group."""
        await self._add(REPLACE, live_id, group_id)

    async def expect_replacement(self, live_id: int, group_id: str) -> bool:
        """Order the replacement of a dissolved group, for one room at most once a minute.

        True in the first seconds after an order, while the replacement is to be expected.
        """
        now = self._clock()
        ordered_at = self._ordered_at.get(live_id)
        if ordered_at is None or now - ordered_at >= ORDER_AGAIN_SECONDS:
            await self.replace(live_id, group_id)
            self._note_order(live_id, now)
            return True
        return now - ordered_at < EXPECTED_SECONDS

    async def _add(self, kind: str, live_id: int, group_id: str) -> None:
        payload = {"live_id": live_id, "group_id": group_id}
        # Workers of earlier releases would fail the unknown kind for good: they do not claim
        # urgent messages.
        await self._outbox.add(kind, payload, urgent=True, key=group_id)

    def _note_order(self, live_id: int, now: float) -> None:
        self._ordered_at[live_id] = now
        self._ordered_at.move_to_end(live_id)
        if len(self._ordered_at) > MAX_ROOMS:
            self._ordered_at.popitem(last=False)
