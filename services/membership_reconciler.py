"""Reconciles local connections with stored memberships."""

import time

from realtime.realtime import Realtime
from services.evictions import EvictionService
from services.room_access import RoomAccess
from storage.presence import PresenceStore


class MembershipReconciler:
    """Closes connections of users who are no longer members, and corrects stored connections.

    Runs when the bus may have lost a message, and otherwise once per lease, or every third of a
    lease while the bus is down.
    """

    def __init__(
        self,
        realtime: Realtime,
        presence: PresenceStore,
        evictions: EvictionService,
        room_access: RoomAccess,
        *,
        process_id: str,
        lease_seconds: float,
    ) -> None:
        self._realtime = realtime
        self._presence = presence
        self._evictions = evictions
        self._room_access = room_access
        self._process_id = process_id
        self._lease_seconds = lease_seconds
        self._gaps = 0
        self._checked_at = self._compared_at = time.monotonic()

    async def check(self) -> None:
        """Reconcile if it is due; called every second."""
        bus, hub, lease = self._realtime.bus, self._realtime.hub, self._realtime.lease
        now, gaps = time.monotonic(), bus.gaps
        interval = self._lease_seconds if bus.healthy else self._lease_seconds / 3
        if gaps == self._gaps and now - self._checked_at < interval:
            return
        hub.mark_all_audiences_changed()
        # Evictions first: they carry the more specific close code.
        await self._evictions.receive()
        misattributed = await hub.reconcile_memberships(
            self._presence.session_states, self._room_access.reason_to_close, self._process_id
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
