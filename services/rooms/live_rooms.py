"""Live rooms: their list, entering and starting them, and the seats on mic."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass
from functools import partial

import structlog

from core.batching import SingleFlight
from core.cache import Cache
from core.clock import now_ms
from realtime.bus import Bus, LiveStarted
from rooms.errors import FollowersOnly, NotHost, NotLive, NotMatchmaker, StreamForbidden
from rooms.events import Visibility
from rooms.members import MemberCounts
from rooms.moderation import Item, Kind
from rooms.room import Room
from services.accounts.pictures import PictureService
from services.chat.groups import GroupService, queue_group_message
from services.errors import AccountBanned, NotAuthenticated
from services.moderation.decisions import Confirm
from services.moderation.proposals import ProposalService
from services.room_changes import BatchData, RoomChanges
from services.rooms.presence import Presence
from storage.accounts.users import User
from storage.jobs.outbox import ENSURE_GROUP
from storage.stores import Stores
from tencent.cloud_api import StreamUrls

log = structlog.get_logger("qlive.rooms")

NAMES: Mapping[Kind, str] = {"room_name": "title", "cover": "cover"}
"""The names that rooms have for the values that are checked."""
ListedRoom = tuple[Room, MemberCounts]
COUNTS_TTL_SECONDS = 1.0
"""Age from which a count is read again: the members of a room receive theirs once a second, too."""
MAX_COUNTS = 10_000
"""Live rooms whose counts are kept, about 4 MB."""


class RoomList:
    """Public live rooms with their audience counts, largest audience first.

    Every client requests the list when it starts: concurrent requests share one read of the rooms.
    Counting reads an index key of every member of all rooms, so a count is read again only when it
    is COUNTS_TTL_SECONDS old.
    """

    def __init__(self, stores: Stores) -> None:
        self._rooms, self._members = stores.rooms, stores.members
        self._summaries = stores.summaries
        self._reads = SingleFlight(self._read)
        self._cache: Cache[tuple[int, str], MemberCounts] = Cache(COUNTS_TTL_SECONDS, MAX_COUNTS)
        """By live_id and epoch."""

    async def get(self) -> list[ListedRoom]:
        return await self._reads.get()

    async def _read(self) -> list[ListedRoom]:
        running = await self._rooms.live(await self._summaries.running())
        rooms = [room for room in running if room.visibility == "public"]
        live = {(room.live_id, room.epoch): room for room in rooms}
        counts = {session: cached for session in live if (cached := self._cache.get(session))}
        if missing := live.keys() - counts.keys():
            start = self._cache.begin_read()
            found = await self._members.counts(missing)
            for session in missing:
                counts[session] = found[session[0]]
                self._cache.put(session, counts[session], start)
        listed = [(room, counts[session]) for session, room in live.items()]
        listed.sort(key=lambda row: -row[1].audience)  # stable: ties stay newest first
        return listed


@dataclass
class LiveRoomService:
    """Starts lives, and lets users enter them."""

    _stores: Stores
    _bus: Bus
    _room_changes: RoomChanges
    _presence: Presence
    _: KW_ONLY
    groups: GroupService
    stream_urls: StreamUrls
    pictures: PictureService
    proposals: ProposalService
    private_members: int
    """Maximum number of members of a private live, the host included."""

    # ---- lives

    async def enter(self, live_id: int, user: User, token: str, ticket_id: str = "") -> Room:
        """Make the user a member of the room. Raises as RoomChanges.enter."""
        enter = partial(
            self._room_changes.enter, live_id, user.person(), ticket_id, self.private_members
        )
        try:
            room = await enter()
        except FollowersOnly:  # most lives are public: they need no read of the follow
            host_id = (await self._room_changes.load(live_id)).host_id
            if not await self._stores.follows.has(user.user_id, host_id):
                raise
            room = await enter(follows=True)
        await self._recheck(room, user.user_id, token)
        await self._presence.seen(user.user_id, room)
        return room

    async def open(self, user: User, token: str, visibility: Visibility | None = None) -> Room:
        """Start a matchmaker's live, or resume the running one, whose visibility None keeps.

        The first call creates the room's chat group; later the outbox checks that it still exists.
        A private live, and the first one after it, start with a new group, and not without IM.
        """
        _check_may_host(user)
        host = user.person()
        live_id, group_id, has_group = await self._stores.rooms.get_or_create(host)
        if not has_group:
            await self.groups.create(live_id, group_id, host)
        await self._room_changes.remove(host.user_id, but=live_id)
        word, stream = visibility or "public", self.stream_urls.new_stream(host.user_id)
        room = await self._room_changes.load(live_id)
        needs_group = not room.live and room.needs_new_group(word)
        first = "" if has_group else room.group_id  # it is new, and has no members
        needs_group = needs_group and not first
        async with self.groups.new(live_id, host) if needs_group else nullcontext(first) as group:

            def start(room: Room) -> tuple[Room, bool]:
                epoch, now = secrets.token_hex(8), now_ms()
                return room, room.open(host, epoch, stream, now, word, group)

            room, started = await self._room_changes.begin(live_id, start, host.user_id)
        if started:
            log.info("live_started", live_id=live_id)
            if has_group:
                await queue_group_message(self._stores.outbox, ENSURE_GROUP, live_id, room.group_id)
        elif visibility:
            room = await self._set_visibility(room, visibility) or room
        user = await self._recheck(room, host.user_id, token)
        if not user.is_matchmaker:
            await self._room_changes.remove(host.user_id, "operator")
        _check_may_host(user)
        await self._presence.seen(host.user_id, room)
        if started and room.visibility != "private":
            self._bus.publish(LiveStarted(live_id))
        return room

    async def _recheck(self, room: Room, user_id: str, token: str) -> User:
        """Reload the user, and apply what has changed meanwhile.

        One who was banned or logged out is removed again. One whose stream was forbidden gets no
        seat, and one whose stream was allowed elsewhere gets one again.
        """
        user = await self._stores.tokens.user_of(token)
        if user is None or user.banned:
            is_banned = (await self._stores.users.get(user_id)).banned
            await self._room_changes.remove(user_id, "banned" if is_banned else "left")
            raise AccountBanned if is_banned else NotAuthenticated
        live_id, until = room.live_id, user.stream_forbidden_until
        if until and not user.may_stream:
            until_ms = int(until.timestamp() * 1000)
            await self._room_changes.change(
                live_id, lambda room: room.stop_stream(user_id, until_ms), user_id
            )
        elif user_id in room.stream_bans:
            await self._room_changes.change(live_id, lambda room: room.allow_stream(user_id))
        return user

    async def _set_visibility(self, room: Room, visibility: Visibility) -> Room | None:
        """Change who may enter a live; return the room, or None if it was so already."""
        if room.visibility == visibility:
            return None
        host, urls = room.owner.person, self.stream_urls
        needs_group = room.needs_new_group(visibility)
        new_group = self.groups.new(room.live_id, host) if needs_group else nullcontext("")
        async with new_group as group:

            def rule(room: Room) -> Room:
                room.set_visibility(host.user_id, visibility, group, urls.new_stream, urls.play)
                return room

            return await self._room_changes.change(room.live_id, rule)

    # ---- name and picture

    async def update_info(
        self,
        live_id: int,
        host: User,
        title: str | None,
        cover: str | None,
        visibility: Visibility | None = None,
    ) -> Room | None:
        """Change a room's name and picture, and who may enter it, as its host; None keeps one.

        With "" the room shows the host's name or picture. A value that has yet to be checked is
        shown by `apply`. Return the room if its visibility has changed. Raises NotHost, NotLive, or
        as PictureService.address_of, ProposalService.propose and GroupService.new.
        """
        room, user_id = await self._room_changes.load(live_id), host.user_id
        if room.host_id != user_id:
            raise NotHost
        if visibility and not room.live:
            raise NotLive
        if cover not in (None, "", room.cover):
            cover = await self.pictures.address_of("cover", user_id, cover)
        proposed = {"title": title, "cover": cover}
        proposals = []
        for kind, name in NAMES.items():
            if (value := proposed[name]) is not None:
                before = getattr(room, name)
                proposal = await self.proposals.propose(kind, host, value, before, live_id)
                await self._stores.moderation.put(proposal)
                proposals.append(proposal)
        changed = await self._set_visibility(room, visibility) if visibility else None
        await self._show(live_id, *proposals)
        return changed

    async def apply(self, item: Item, confirm: Confirm) -> None:
        """Show the approved value, or again the value shown before a refusal."""
        await self._show(item.live_id, item)
        await confirm(None)

    async def _show(self, live_id: int, *items: Item) -> None:
        async def read(_live_ids: Sequence[int]) -> list[Item]:
            """Read the items after the room.

            A request that supersedes an item later also changes the room later.
            """
            get = self._stores.moderation.get
            return [await get(item.id) if item.id else item for item in items]

        def rule(room: Room, items: list[Item]) -> None:
            room.update_info(
                room.host_id, **{NAMES[item.kind]: item.value_to_show for item in items}
            )

        await self._room_changes.change_with(live_id, BatchData(read), live_id, rule)


def _check_may_host(user: User) -> None:
    if not user.is_matchmaker:
        raise NotMatchmaker
    if not user.may_stream:
        raise StreamForbidden
