"""Processes verified callbacks of Tencent.

Applies them to presence, drops stray streams, has suspicious ones judged, and has dissolved chat
groups replaced.
"""

from contextlib import suppress
from dataclasses import dataclass

from core.clock import now_ms
from rooms.errors import NotHost, NotInRoom, NotLive, RoomNotFound
from rooms.seating_room import INVITATION_SECONDS
from services.chat.groups import queue_group_message
from services.room_changes import RoomChanges
from services.rooms.presence import Presence
from services.rooms.streams import STREAM_NAME, StreamModerationService
from storage.jobs.inbox import DONE, CallbackOutcome, ignored
from storage.jobs.outbox import REPLACE_GROUP
from storage.stores import Stores
from tencent.callbacks import (
    CallbackEvent,
    CustomMessage,
    GroupDestroyed,
    ImPresence,
    RecordingFailure,
    StreamEvent,
    StreamVerdict,
)
from tencent.json_reader import ParsedCallback


@dataclass
class CallbackService:
    """Processes callbacks of IM (users, groups) and CSS (streams)."""

    _stores: Stores
    _presence: Presence
    _room_changes: RoomChanges
    _streams: StreamModerationService

    async def accept(self, message: CustomMessage) -> None:
        """Admit the receiver to a seat, if the host of their live sent the message.

        Clients that know only the API's contract invite over IM. A repetition admits no longer than
        the first.
        """
        until = min(message.at_ms, now_ms()) + INVITATION_SECONDS * 1000
        if until <= now_ms():
            return
        live_id = await self._stores.members.shared(message.sender, message.receiver)
        if live_id is None:
            return
        with suppress(NotHost, NotLive, NotInRoom, RoomNotFound):
            await self._room_changes.change(
                live_id,
                lambda room: room.note_invitation(message.sender, message.receiver, until),
                message.receiver,
            )

    async def handle(self, callback: ParsedCallback[CallbackEvent]) -> CallbackOutcome:
        """Process a verified callback, unless it is one to ignore; return what to store.

        Raises TryAgain if the seat of a stream keeps changing meanwhile.
        """
        if isinstance(callback.event, RecordingFailure):
            return DONE._replace(event=callback.event.name)
        outcome = callback.ignored or await self._process(callback.event)
        return DONE if outcome == DONE.outcome else ignored(outcome)

    async def _process(self, event: CallbackEvent | None) -> str:
        """Apply the event; return "done", or the reason why it was ignored."""
        match event:
            case ImPresence(user_ids, online, at_ms, group_id):
                outcomes = [
                    await self._presence.on_im_state(
                        user_id, online=online, at_ms=at_ms, group_id=group_id
                    )
                    for user_id in user_ids
                ]
                return DONE.outcome if DONE.outcome in outcomes else next(iter(outcomes), "nobody")
            case GroupDestroyed(group_id):
                live_id = await self._stores.room_groups.room_of(group_id)
                if live_id is None:  # also a group that we have dissolved
                    return "unknown_group"
                outbox = self._stores.outbox
                await queue_group_message(outbox, REPLACE_GROUP, live_id, group_id)
                return DONE.outcome
            case StreamEvent(stream, on, sequence, at):
                outcome = await self._presence.on_stream_event(
                    stream, on=on, sequence=sequence, at_s=at
                )
                is_stray = outcome in ("not_in_a_room", "not_the_current_stream")
                if on and is_stray and STREAM_NAME.fullmatch(stream):
                    # The push URL is signed for a day, so a user can push to a lost seat again.
                    # Not urgent, as users choose how often they push: the room shows only the
                    # streams of its seats, and the drop that took this stream away was urgent if
                    # the user was removed or banned. Urgent in a private live, since former
                    # viewers know the old URL.
                    payload, urgent = {"streams": [stream]}, await self._is_in_private(stream)
                    await self._stores.outbox.add("drop_stream", payload, key=stream, urgent=urgent)
                return outcome
            case StreamVerdict():
                return await self._streams.judge(event)
        return "no_event"

    async def _is_in_private(self, stream: str) -> bool:
        """Return whether the user who pushes this stream is a member of a private live."""
        member = await self._stores.members.get(stream.partition("_")[0])
        room = await self._stores.rooms.read(member.live_id) if member else None
        return room is not None and room.live and room.visibility == "private"
