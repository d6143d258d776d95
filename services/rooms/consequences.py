"""What follows from a change of a room, in the order in which a reader would tell it.

A consequence adds writes to the transaction of the change: `(room, events, batch)`. The room has
its state before the change as `room.loaded`. A consequence reads nothing unless its noun is
concerned, and all may run again, since a conflict repeats the change. A feature that follows from
changes of rooms is one function beside its service, and one line here.
"""

from collections.abc import Sequence
from functools import partial

from services.accounts.matches import MatchService
from services.accounts.notices import notify_followers
from services.accounts.user_channels import add_user_events
from services.chat.groups import destroy_groups
from services.room_changes import Consequence
from services.rooms.removals import mute_in_chat
from services.rooms.renewals import renew_private
from services.rooms.streams import drop_streams
from services.rooms.summaries import note_visitors, summarize
from services.rooms.tickets import name_tickets
from services.webhooks.room_events import add_room_webhooks
from storage.stores import Stores


def consequences(stores: Stores, *, has_notices: bool = False) -> Sequence[Consequence]:
    """Return the list; `has_notices`: whether the app has a template for notices."""
    return (
        partial(summarize, stores),
        partial(note_visitors, stores.visits),
        MatchService(stores).add_dates,
        *([partial(notify_followers, stores.live_notices)] if has_notices else []),
        partial(drop_streams, stores.outbox),
        partial(renew_private, stores.renewals),
        partial(destroy_groups, stores.outbox),
        partial(mute_in_chat, stores.outbox),
        partial(name_tickets, stores),
        partial(add_user_events, stores.user_channels),
        partial(add_room_webhooks, stores),
    )
