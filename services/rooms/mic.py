"""Seats on mic: the steps around the rules of a room."""

from dataclasses import dataclass

from config.sections import MicroSettings
from core.clock import now_ms
from rooms.errors import StreamForbidden
from rooms.state import SeatShown
from services.moderation.user_safety import UserSafetyService
from services.room_changes import RoomChanges
from storage.accounts.users import User
from storage.stores import Stores
from tencent.cloud_api import StreamUrls


@dataclass
class MicService:
    """Applications, invitations and seats of the guests."""

    _stores: Stores
    _room_changes: RoomChanges
    _stream_urls: StreamUrls
    _user_safety: UserSafetyService
    _settings: MicroSettings

    async def apply(self, live_id: int, user: User) -> None:
        """Apply for the seat of the user's gender. Raises HighRisk, or as Room.apply."""
        self._user_safety.check_rank(user)
        person = user.person()
        await self._room_changes.change(
            live_id, lambda room: room.apply(person, now_ms()), user.user_id
        )

    async def invite(self, live_id: int, host: User, user_id: str) -> None:
        """Invite a user, as the host. Raises UserNotFound, Blocked, or as Room.invite."""
        guest = (await self._stores.users.get(user_id)).person()
        await self._user_safety.check_pair(host, user_id)
        await self._room_changes.change(
            live_id, lambda room: room.invite(host.user_id, guest, now_ms()), user_id
        )

    async def accept(self, live_id: int, user: User) -> tuple[SeatShown, str]:
        """Take the seat of the user's gender; return it as the room shows it, and its push URL.

        A stream that is forbidden meanwhile is a mark of the room: the guarded write fails if it
        was set after the room was loaded. Raises HighRisk, StreamForbidden, or as Room.accept.
        """
        self._user_safety.check_rank(user)
        if not user.may_stream:
            raise StreamForbidden
        person, admission, urls = user.person(), self._settings.admission, self._stream_urls
        stream = urls.new_stream(user.user_id)
        play_url = urls.play(stream)
        seat = await self._room_changes.change(
            live_id, lambda room: room.accept(person, admission, stream, play_url), user.user_id
        )
        if seat.stream != stream:  # the user has been on mic already
            play_url = urls.play(seat.stream)
        return seat.shown(lambda _stream: play_url), urls.push(seat.stream)

    async def leave(self, live_id: int, user: User, target: str, gender: int | None = None) -> None:
        """Leave a seat, or have the host or a deputy act on `target`. Raises as Room.leave_mic."""
        actor = user.person()
        removed_ms = int(self._settings.removed_seconds * 1000)
        until = now_ms() + removed_ms if removed_ms else 0
        await self._room_changes.change(
            live_id,
            lambda room: room.leave_mic(actor, target, gender, removed_until=until),
            actor.user_id,
            target,
        )
