"""New streams and a new chat group for a private live that somebody has left."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rooms.events import NumberedEvent
from rooms.room import Room
from services.chat.groups import GroupService
from services.jobs.outbox_jobs import Actions, Payload
from services.room_changes import RoomChanges
from storage.jobs.outbox import RENEW_GROUP, RENEW_STREAMS
from storage.rooms.renewals import RenewalStore
from storage.write_batch import WriteBatch
from tencent.cloud_api import StreamUrls


async def renew_private(
    renewals: RenewalStore, room: Room, _events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Have a private live renewed after a departure, also one that became private with it."""
    if not (room.has_departures and room.live):
        return
    if room.visibility == "private":
        renewals.add_to(batch, room.live_id, room.owner.stream, room.group_id)
    else:
        batch.after_commit.append(partial(renewals.note_departure, room.live_id))


@dataclass
class RenewalService:
    """Renews what former members knew, and leaves what has been replaced since.

    Departures at the same time, and repetitions, therefore renew a live once.
    """

    _room_changes: RoomChanges
    _groups: GroupService
    _urls: StreamUrls

    @property
    def by_kind(self) -> Actions:
        """Actions of the outbox by message kind."""
        return {RENEW_STREAMS: self._renew_streams, RENEW_GROUP: self._renew_group}

    async def _renew_streams(self, payload: Payload) -> None:
        urls = self._urls
        await self._room_changes.change(
            payload["live_id"],
            lambda room: room.renew_streams(payload["streams"], urls.new_stream, urls.play),
        )

    async def _renew_group(self, payload: Payload) -> None:
        live_id, known = payload["live_id"], payload["groups"]
        room = await self._room_changes.load(live_id)
        if room.live and room.group_id in known:
            async with self._groups.new(live_id, room.owner.person) as new:
                await self._room_changes.change(live_id, lambda room: room.renew_group(known, new))
