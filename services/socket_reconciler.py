"""Keeps the sockets of this process in step with evictions, memberships and tokens."""

import time
from collections.abc import Sequence
from math import ceil

from realtime.close_codes import CloseCode
from realtime.lease import reconcile_memberships
from realtime.realtime import Realtime
from rooms.presence import SessionState
from services.evictions import EvictionService
from services.room_access import RoomAccess
from storage.stores import Stores

INTERVAL = 0.5
"""Seconds between two runs: an eviction is received within a second, also without the bus."""
TOKEN_ROUND_SECONDS = 240
"""Time in which every token is checked, without the time of the queries. A token may be the first
of one round and the last of the next: twice this has to be less than ten minutes, also when a run
takes a quarter of INTERVAL."""
QUERY_SIZE = 500
"""Tokens per query."""


class SocketReconciler:
    """Closes sockets that the database no longer permits; `run` is called every INTERVAL.

    - Evictions that processes have stored are applied in every run.
    - Memberships are compared when the bus may have lost a message, and otherwise once per lease,
      or every third of a lease while the bus is down.
    - Tokens are checked again in equal shares. A revocation closes sockets at once; this finds
      those that it has missed, and tokens that end without one.
    """

    def __init__(
        self,
        realtime: Realtime,
        stores: Stores,
        evictions: EvictionService,
        room_access: RoomAccess,
        *,
        process_id: str,
        lease_seconds: float,
    ) -> None:
        self._realtime = realtime
        self._stores = stores
        self._evictions = evictions
        self._room_access = room_access
        self._process_id = process_id
        self._lease_seconds = lease_seconds
        self._gaps = 0
        self._checked_at = self._compared_at = time.monotonic()
        self._unchecked: list[str] = []
        self._share = 0

    async def run(self) -> None:
        await self._evictions.receive()  # first: they carry the more specific close code
        await self._check_tokens()  # an error with a single member must not keep it from its turn
        await self._check_memberships()

    async def _check_memberships(self) -> None:
        """Compare sockets and stored memberships, and correct either, if that is due."""
        bus, hub, lease = self._realtime.bus, self._realtime.hub, self._realtime.lease
        now, gaps = time.monotonic(), bus.gaps
        interval = self._lease_seconds if bus.healthy else self._lease_seconds / 3
        if gaps == self._gaps and now - self._checked_at < interval:
            return
        hub.mark_all_audiences_changed()
        misattributed = await reconcile_memberships(
            hub, self._session_states, self._room_access.reason_to_close, self._process_id
        )
        connections = [
            outbox.connection
            for _, outbox in misattributed
            if outbox.connection and not outbox.closed
        ]
        await lease.claim_members(connections)
        self._gaps, self._checked_at = gaps, now
        if now - self._compared_at >= self._lease_seconds:
            await lease.compare()
            self._compared_at = now

    async def _session_states(self, user_ids: Sequence[str]) -> dict[str, SessionState]:
        """Evictions are received between the queries: thousands of sockets take a while."""
        await self._evictions.receive()
        return await self._stores.presence.session_states(user_ids)

    async def _check_tokens(self) -> None:
        """Check the next share; after a failure the same one again."""
        if not self._unchecked:
            self._unchecked = list({outbox.token_id for outbox in self._realtime.hub.with_token})
            self._share = ceil(len(self._unchecked) * INTERVAL / TOKEN_ROUND_SECONDS)
        share = self._unchecked[: self._share]
        for start in range(0, len(share), QUERY_SIZE):
            await self._close_invalid(share[start : start + QUERY_SIZE])
        del self._unchecked[: self._share]

    async def _close_invalid(self, token_ids: list[str]) -> None:
        invalid = await self._stores.tokens.invalid(token_ids)
        owners = await self._stores.users.find_many([owner for owner in invalid.values() if owner])
        banned = {user.user_id for user in owners if user.banned}
        self._realtime.hub.end_sessions(
            {
                token_id: CloseCode.PUT_OUT if owner in banned else CloseCode.TOKEN
                for token_id, owner in invalid.items()
            }
        )
