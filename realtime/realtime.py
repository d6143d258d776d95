"""Groups the event-delivery and presence components of one process."""

from dataclasses import dataclass
from typing import Protocol

from realtime.bus import Bus
from realtime.hub import Hub
from realtime.lease import Lease, LeaseStorage
from realtime.presence import Presence, PresenceStorage
from rooms.keeper import Keeper
from rooms.presence import GracePolicy


@dataclass(frozen=True, slots=True)
class PresenceConfig:
    """How long a process and its members may be silent; `process_id` is stored with both."""

    process_id: str
    lease_seconds: float
    silent_ms: int
    """Time without a request after which a member without a socket counts as absent."""
    grace: GracePolicy


class StoredPresence(PresenceStorage, LeaseStorage, Protocol):
    """Stored connections of members, and the leases of the processes that serve them."""


class Realtime:
    """Bus and hub deliver events; lease and presence track which process serves which member."""

    def __init__(
        self,
        bus: Bus,
        hub: Hub,
        keeper: Keeper,
        storage: StoredPresence,
        config: PresenceConfig,
    ) -> None:
        self.bus = bus
        self.hub = hub
        self.lease = lease = Lease(
            storage, config.process_id, config.lease_seconds, lambda: hub.here
        )
        self.presence = Presence(
            storage,
            keeper,
            config.grace,
            process=config.process_id,
            silent_ms=config.silent_ms,
            lease_held_ms=lambda: lease.lease_held_ms,
        )
