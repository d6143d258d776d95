"""Summaries of lives. The room counts while a live runs; begin and end write the summary."""

from collections.abc import Sequence
from functools import partial

from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.room import Room
from storage.rooms.visits import VisitStore
from storage.stores import Stores
from storage.write_batch import WriteBatch


async def summarize(
    stores: Stores, room: Room, events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Begin or end the summary of a live, and count the time on air of its host."""
    if room.epoch != room.loaded.epoch:
        stores.summaries.add_new(batch, room)
    if events and events[-1].type == LAST_EVENT_TYPE:
        dates = await stores.rooms.dates(room.live_id) if room.date_count else []
        stores.summaries.add_end(batch, room, events[-1], dates)
        stores.users.add_time_on_air(batch, room.host_id, room.lasted(events[-1].ts))


async def note_visitors(
    visits: VisitStore, room: Room, _events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Note the users who enter, once that is committed."""
    if room.members is room.loaded.members:
        return
    for user_id, member in room.members.items():
        old = room.loaded.members.get(user_id)
        if member.role != "host" and (old is None or old.epoch != member.epoch):
            batch.after_commit.append(partial(visits.note_visitor, member.epoch, user_id))
