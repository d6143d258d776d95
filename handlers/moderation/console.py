"""Operators' endpoints for the moderation queue: what is checked or reported, and its decision."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from core.errors import NotFound
from handlers.base import endpoint
from handlers.context import Context
from handlers.models import CursorRequest, OkResponse, Page, ReasonRequest, Response
from handlers.operator_base import PAGE_SIZE, OperatorHandler
from rooms.moderation import OPEN_STATES, Item, Kind, State
from storage.documents import fields_of
from storage.errors import AlreadyDecided

HISTORY = 20
"""Items of a user that are shown with one of them."""


class ModerationSearchRequest(CursorRequest):
    """`state` `open`: all that is not decided yet. `user_id`: whose content or conduct it is."""

    kind: Literal["", Kind] = ""
    state: Literal["", "open", State] = ""
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""


class ContentOwnerResponse(Response):
    """As others see the user now."""

    user_id: str
    nickname: str
    face_url: str


class ModerationItemResponse(Response):
    """A proposed value, or a report about a user or a stream.

    `before` is the checked value that others saw before `value`; they see `value` already if it is
    `shown`. `label` is the class of the content that a check has found, or the reason of a report.
    `decided_by` is `check` if no operator was needed. `user` is null if there is none any more.
    """

    id: str
    kind: Kind
    state: State
    user_id: str
    user: ContentOwnerResponse | None
    live_id: int
    value: str
    before: str
    shown: bool
    label: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str
    decision: str


class ModerationDetailResponse(ModerationItemResponse):
    """`history`: the latest items of the same user, without this one."""

    history: list[ModerationItemResponse]


class EvidenceResponse(Response):
    """Of a report: `reporter`, `text`, what both wrote in the room and its events.

    Of a stream: its name, the `medium`, CSS's `score` and `suggestion`, and the `text` that is
    written or said in it. {} for other kinds.
    """

    evidence: dict[str, Any]


class ModerationPolicyResponse(Response):
    """The settings that decide what is checked and kept, by name."""

    policy: dict[str, str | int | float]


class OpsItemsHandler(OperatorHandler):
    """Items of the moderation queue, newest first."""

    @endpoint()
    async def get(self, params: ModerationSearchRequest) -> Page[ModerationItemResponse]:
        states = OPEN_STATES if params.state == "open" else [params.state] if params.state else []
        items, cursor = await self.context.stores.moderation.page(
            params.kind, states, params.user_id, params.after, PAGE_SIZE
        )
        return Page[ModerationItemResponse].of(await _rows(self.context, items), cursor)


class OpsItemHandler(OperatorHandler):
    """One item, with the history of its user."""

    @endpoint(errors=[NotFound])
    async def get(self, item_id: str) -> ModerationDetailResponse:
        items = self.context.stores.moderation
        item = await items.get(item_id)
        latest, _ = await items.page("", (), item.user_id, "", HISTORY + 1)
        others = [one for one in latest if one.id != item_id][:HISTORY]
        row, *history = await _rows(self.context, [item, *others])
        return ModerationDetailResponse.model_validate({**row, "history": history})


class ItemTargetHandler(OperatorHandler):
    """Base of the endpoints whose use is audited."""

    async def target_state(self) -> Mapping[str, Any]:
        item = await self.context.stores.moderation.find(str(self.path_args[0]))
        return {"state": item.state} if item else {}

    async def target_details(self) -> Mapping[str, Any]:
        """What was decided, so that the entry is found by its user after the item has expired."""
        item = await self.context.stores.moderation.find(str(self.path_args[0]))
        names = ("kind", "user_id", "live_id", "value", "before")
        return {"item": {name: getattr(item, name) for name in names}} if item else {}


class OpsEvidenceHandler(ItemTargetHandler):
    """Evidence of a report or stream: private words, whose reading is audited."""

    audits_reads = True

    @endpoint(errors=[NotFound])
    async def get(self, item_id: str) -> EvidenceResponse:
        item = await self.context.stores.moderation.get(item_id)
        return EvidenceResponse(evidence=item.evidence)


class OpsApproveHandler(ItemTargetHandler):
    """Approve a value, which others see from now on, dismiss a report, or let the user of a stopped
    stream go on."""

    @endpoint(errors=[NotFound, AlreadyDecided])
    async def post(self, item_id: str) -> OkResponse:
        await self.context.services.moderation.approve(item_id, self.operator.name)
        return OkResponse()


class OpsRefuseHandler(ItemTargetHandler):
    """Refuse a value, which others no longer see, or uphold a report.

    The user can't propose a refused value again. A stream is stopped. What follows a report is
    decided elsewhere: `PATCH users/ID` bans a user, `POST rooms/ID/put_out` removes them from a
    room, and `POST rooms/ID/end` ends a live.
    """

    @endpoint(errors=[NotFound, AlreadyDecided])
    async def post(self, item_id: str, params: ReasonRequest) -> OkResponse:
        await self.context.services.moderation.refuse(item_id, self.operator.name, params.reason)
        return OkResponse()


class OpsModerationPolicyHandler(OperatorHandler):
    """What is checked, by which policy, and how long it is kept; the settings have it."""

    @endpoint()
    async def get(self) -> ModerationPolicyResponse:
        settings = self.context.settings
        kept = settings.retention.model_dump(include={"moderation_days", "chat_days"})
        return ModerationPolicyResponse(policy={**settings.moderation.model_dump(), **kept})


async def _rows(context: Context, items: Iterable[Item]) -> list[dict[str, Any]]:
    """The fields of items, each with its user."""
    rows = [fields_of(item) for item in items]
    found = await context.stores.users.find_many([*{row["user_id"] for row in rows}])
    users = {user.user_id: user for user in found}
    return [{**row, "user": users.get(row["user_id"])} for row in rows]
