"""Fans out saved room changes to the hub and the IM relay."""

from collections.abc import Sequence

from realtime.hub import Hub
from rooms.events import NumberedEvent
from services.im_relay import ImRelay


class RoomListeners:
    """Publishes room changes to sockets and, if enabled, to clients on Tencent IM."""

    def __init__(self, hub: Hub, relay: ImRelay | None) -> None:
        self._hub = hub
        self._relay = relay

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        self._hub.publish(live_id, events)
        if self._relay:
            self._relay.publish(live_id, events)

    def mark_audience_changed(self, live_id: int) -> None:
        self._hub.mark_audience_changed(live_id)
        if self._relay:
            self._relay.mark_audience_changed(live_id)

    def evict(self, live_id: int, user_id: str, number: int, *, banned_until_left: bool) -> None:
        self._hub.evict(live_id, user_id, number, banned_until_left=banned_until_left)
