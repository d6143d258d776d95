"""Groups the event-delivery and presence components of one process."""

from realtime.bus import Bus
from realtime.hub import Hub
from realtime.lease import Lease
from realtime.presence import Presence, StoredPresence
from rooms.keeper import Keeper
from rooms.presence import GracePolicy


class Realtime:
    """Bus and hub deliver events; lease and presence track which process serves which member."""

    def __init__(
        self,
        bus: Bus,
        hub: Hub,
        keeper: Keeper,
        storage: StoredPresence,
        grace: GracePolicy,
        process_id: str,
        lease_seconds: float,
    ) -> None:
        self.bus = bus
        self.hub = hub
        self.lease = lease = Lease(storage, process_id, lease_seconds, lambda: hub.here)
        self.presence = Presence(
            storage,
            keeper,
            grace,
            process=process_id,
            lease_held_ms=lambda: lease.lease_held_ms,
        )
