"""Operators' endpoints for rooms and reports of lives: list, inspect, end a live, remove users."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from pydantic import Field, GetPydanticSchema, StringConstraints

from core.clock import now_ms
from handlers.base import endpoint
from handlers.models import (
    BanMinutes,
    CursorRequest,
    FaceView,
    Number,
    Page,
    ReasonRequest,
    Request,
    Response,
    SearchRequest,
    UserId,
    Whole,
    pydantic_type,
)
from handlers.operator_base import PAGE_SIZE, CsvFileResponse, OperatorHandler, csv_file
from handlers.rooms.bans import RoomBanView, room_bans
from rooms.errors import NotLive, RoomNotFound
from rooms.events import NumberedEvent, without_access
from rooms.members import MemberCounts, Role
from rooms.room import Room
from rooms.state import PlayUrl, Snapshot
from storage.database import Document
from storage.errors import UserNotFound
from storage.stores import Stores


class LiftRoomBanRequest(ReasonRequest):
    user_id: UserId


class OpsRemoveUserRequest(LiftRoomBanRequest):
    """`minutes`: how long the user is banned from the room."""

    minutes: BanMinutes = 60


class RoomDetailRequest(Request):
    """`since` and `epoch`: `seq` and `epoch` of an earlier response.

    Only later events are returned.
    """

    since: Annotated[Whole, Field(ge=0, le=2**53)] | None = None
    epoch: Annotated[str, StringConstraints(max_length=64)] = ""


class RoomRowResponse(Response):
    id: int
    epoch: str
    seq: int
    started_at: int
    room: Annotated[
        dict[str, Any],
        GetPydanticSchema(lambda _dict, schema_of: schema_of(pydantic_type(Snapshot))),
    ]
    """Same as the data of the WebSocket's `snapshot` frame; `play_url` is "" in lists, for viewers,
    and of a private live, as is the `group_id` of a private live."""


class RoomDetailResponse(RoomRowResponse):
    put_out: list[RoomBanView]
    deputies: list[FaceView]
    events: list[NumberedEvent]
    """Events after `since`, in order; the latest if it is missing, of another live or too old.

    Their play URLs and chat groups are left out."""


class RoomStreamsResponse(Response):
    """Play URLs of the seats; null for an empty one."""

    group_id: str

    owner: str
    male: str | None
    female: str | None


class LiveSearchRequest(CursorRequest):
    """`host_id`: lives of this user; `live_id`: lives of this room."""

    live_id: Number | None = None
    host_id: Annotated[str, StringConstraints(max_length=8)] = ""


class OpsLiveResponse(Response):
    """Report of a live; `ended_at` and `audience_total` are null while it runs.

    `dates` is their number.
    """

    id: str
    live_id: int
    host_id: str
    started_at: datetime
    ended_at: datetime | None
    reason: str
    audience_peak: int
    audience_total: int | None
    applications: int
    dates: int
    income: int
    followers: int
    matches: int


LATEST_EVENTS = 50
"""Events returned without a usable `since`; the room keeps the last 256."""
SEARCH_BATCH = 500
"""Memberships read per batch while a search filters them by nickname."""


@dataclass(frozen=True, slots=True)
class RoomMember:
    """A member with name and picture; `away_at` (ms) is null while the member is connected."""

    user_id: str
    nickname: str
    face_url: str
    gender: int
    role: Role
    entered_at: int
    away_at: int | None


class OpsRoomsHandler(OperatorHandler):
    """All live rooms, newest first."""

    @endpoint()
    async def get(self) -> Page[RoomRowResponse]:
        stores = self.context.stores
        rooms = await stores.rooms.live(await stores.summaries.running())
        counts = await self.context.stores.members.counts(
            (room.live_id, room.epoch) for room in rooms
        )
        return Page[RoomRowResponse].of([_row(room, counts[room.live_id]) for room in rooms])


class OpsRoomHandler(OperatorHandler):
    """One room, live or not, with its events, its active bans and its deputies."""

    @endpoint(errors=[RoomNotFound])
    async def get(self, live_id: str, params: RoomDetailRequest) -> RoomDetailResponse:
        context, log_since, events = self.context, self.context.stores.rooms.log_since, None
        room = await context.room_changes.load(int(live_id))
        counts = await context.stores.members.counts([(room.live_id, room.epoch)])
        if params.since is not None and params.epoch in ("", room.epoch):
            events = await log_since(room.live_id, room.epoch, params.since)
        if events is None:
            latest = max(0, room.version - LATEST_EVENTS)
            events = await log_since(room.live_id, room.epoch, latest)
        is_shown = self.operator.may("moderator") and room.visibility != "private"
        play_url = context.tencent.stream_urls.play if is_shown else _no_url
        return RoomDetailResponse(
            **dict(_row(room, counts[room.live_id], play_url)),
            put_out=await room_bans(context, room),
            deputies=[
                FaceView.model_validate(user)
                for user in await context.stores.users.find_many([*room.deputies])
            ],
            # None if a new live has begun since the room was read
            events=[replace(event, data=without_access(event.data)) for event in events or ()],
        )


class OpsRoomStreamsHandler(OperatorHandler):
    """Play URLs and chat group of a live, also of a private one; the audit log keeps the reason."""

    @endpoint(errors=[RoomNotFound, NotLive])
    async def post(self, live_id: str, params: ReasonRequest) -> RoomStreamsResponse:
        del params  # the reason is in the audit log
        room = await self.context.room_changes.load(int(live_id))
        if not room.live:
            raise NotLive
        urls = room.play_urls(self.context.tencent.stream_urls.play)
        return RoomStreamsResponse(group_id=room.group_id, **urls)


class OpsRoomMembersHandler(OperatorHandler):
    """Members of a room.

    `q` is the start of a user id, or part of a nickname.
    """

    @endpoint(errors=[RoomNotFound])
    async def get(self, live_id: str, params: SearchRequest) -> Page[RoomMember]:
        room = await self.context.room_changes.load(int(live_id))
        found = await _find_members(
            self.context.stores, room, params.q, params.after, PAGE_SIZE + 1
        )
        cursor = found[PAGE_SIZE - 1].user_id if len(found) > PAGE_SIZE else None
        return Page[RoomMember].of(found[:PAGE_SIZE], cursor)


class LiveSearchHandler(OperatorHandler):
    """Base of the endpoints that search the reports of lives."""

    async def find(
        self, params: LiveSearchRequest, after: str, limit: int
    ) -> tuple[list[Document], str | None]:
        rows, cursor = await self.context.stores.summaries.page(
            after, limit, live_id=params.live_id, host_id=params.host_id
        )
        return [{**row, "id": row["_id"], "dates": len(row["dates"])} for row in rows], cursor


class OpsLivesHandler(LiveSearchHandler):
    """Reports of lives, newest first."""

    @endpoint()
    async def get(self, params: LiveSearchRequest) -> Page[OpsLiveResponse]:
        rows, cursor = await self.find(params, params.after, PAGE_SIZE)
        return Page[OpsLiveResponse].of(rows, cursor)


class OpsLivesCsvHandler(LiveSearchHandler):
    """Reports of lives as a CSV file, newest first, with the parameters of their list.

    After 10,000 lives the last line says `more` and the `after` of the next file.
    """

    @endpoint()
    async def get(self, params: LiveSearchRequest) -> CsvFileResponse:
        self.set_header("Content-Disposition", 'attachment; filename="lives.csv"')
        fields = [*OpsLiveResponse.model_fields]
        return await csv_file(fields, params.after, partial(self.find, params))


class OpsEndLiveHandler(OperatorHandler):
    """End a live; its clients receive `live_end` with the reason `operator`."""

    async def target_state(self) -> Mapping[str, Any]:
        room = await self.context.stores.rooms.read(int(self.path_args[0]))
        return {"live": room.live, "epoch": room.epoch} if room else {}

    @endpoint(errors=[RoomNotFound])
    async def post(self, live_id: str, params: ReasonRequest) -> None:
        del params  # the reason is in the audit log
        await self.context.room_changes.change(int(live_id), lambda room: room.close("operator"))


class RoomBanTargetHandler(OperatorHandler):
    """Base of the changes of a user's room ban."""

    async def target_state(self) -> Mapping[str, Any]:
        room = await self.context.stores.rooms.read(int(self.path_args[0]))
        bans = room.active_bans(now_ms()) if room else {}
        return {"banned_until": bans.get(str(self.parameters().get("user_id")))}


class OpsRemoveUserHandler(RoomBanTargetHandler):
    """Remove a user, except the host, from a room and ban them for `minutes`."""

    @endpoint(errors=[RoomNotFound, UserNotFound, NotLive])
    async def post(self, live_id: str, params: OpsRemoveUserRequest) -> None:
        await self.context.services.rooms.removals.ban_from_room(
            int(live_id), params.user_id, params.minutes
        )


class OpsLiftRoomBanHandler(RoomBanTargetHandler):
    """Lift a user's room ban, whether set by host or operator."""

    @endpoint(errors=[RoomNotFound])
    async def post(self, live_id: str, params: LiftRoomBanRequest) -> None:
        await self.context.services.rooms.removals.change(
            int(live_id), lambda room: room.lift_ban(params.user_id, now_ms())
        )


def _no_url(_stream: str) -> str:
    return ""


def _row(room: Room, counts: MemberCounts, play_url: PlayUrl = _no_url) -> RoomRowResponse:
    hidden = {"group_id": ""} if room.visibility == "private" else {}
    return RoomRowResponse(
        id=room.live_id,
        epoch=room.epoch,
        seq=room.version,
        started_at=room.started_at,
        room={**room.snapshot(counts, play_url), **hidden},
    )


async def _find_members(
    stores: Stores, room: Room, query: str, after: str, limit: int
) -> list[RoomMember]:
    """Return members by user_id, starting after the user_id `after`.

    There are at least `limit` unless they end. `query` is the start of a user_id or part of a
    nickname in any case, "" for all members. Since nicknames are in `users`, a search scans the
    members of the room.
    """
    found: list[RoomMember] = []
    size, part = SEARCH_BATCH if query else limit, query.casefold()
    while len(found) < limit:
        members = await stores.members.list_members(room.live_id, room.epoch, after, size)
        users = await stores.users.find_many([member.user_id for member in members])
        faces = {user.user_id: user.person().public_profile() for user in users}
        for member in members:
            face = faces.get(member.user_id)  # None if the user has been deleted meanwhile
            if face and (member.user_id.startswith(query) or part in face["nickname"].casefold()):
                found.append(
                    RoomMember(
                        **face,
                        role=member.role,
                        entered_at=member.entered_at,
                        away_at=member.away_at,
                    )
                )
        if len(members) < size:
            break
        after = members[-1].user_id
    return found
