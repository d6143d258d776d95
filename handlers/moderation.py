"""Reports and blocks of users; for operators, the queue of what is checked or reported."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, StringConstraints

from core.errors import NotFound
from handlers.base import ActiveUserHandler, endpoint
from handlers.models import (
    CursorRequest,
    FaceView,
    Number,
    Page,
    Request,
    Response,
    Text,
    UserId,
    UserRequest,
)
from handlers.operator_base import PAGE_SIZE, OperatorHandler
from rooms.errors import RoomNotFound
from rooms.moderation import OPEN_STATES, Kind, State
from services.moderation.user_safety import ReportReason
from services.rooms.streams import STREAM_FORBIDDEN
from storage.documents import fields_of
from storage.errors import AlreadyDecided, TooManyBlocks, UserNotFound


class ReportRequest(UserRequest):
    """`live_id`: the room in which it happened, whose last chat lines become evidence."""

    live_id: Number | None = None
    reason: Annotated[ReportReason, Field(examples=["abuse"])]
    text: Annotated[str, StringConstraints(max_length=500)] = ""


class BlockRequest(Request):
    user_id: UserId
    blocked: Annotated[bool, Field(examples=[False])]


class BlocksResponse(RootModel[list[FaceView]]):
    pass


class ReportHandler(ActiveUserHandler):
    """Report a user to the operators, once a day."""

    @endpoint(limit="report", errors=[UserNotFound, RoomNotFound])
    async def post(self, params: ReportRequest) -> None:
        self.check_other(params.user_id)
        await self.context.services.moderation.user_safety.report(
            self.user, params.user_id, params.live_id, params.reason, params.text
        )


class BlockHandler(ActiveUserHandler):
    """Block a user, or lift the block.

    Neither of the two can then follow or invite the other, give them gifts, write to them, see
    their profile or be their deputy.
    """

    @endpoint(limit="like", errors=[UserNotFound, TooManyBlocks])
    async def post(self, params: BlockRequest) -> None:
        self.check_other(params.user_id)
        if params.blocked:
            await self.context.services.rooms.removals.block(self.user, params.user_id)
        else:
            await self.context.stores.users.get(params.user_id)
            await self.context.stores.user_blocks.drop(self.user_id, params.user_id)


class BlocksHandler(ActiveUserHandler):
    """The users whom the caller has blocked, newest first."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> BlocksResponse:
        stores = self.context.stores
        user_ids = await stores.user_blocks.blocked_by(self.user_id)
        return BlocksResponse.model_validate(await stores.users.find_many(user_ids))


# ---- operators


class ModerationSearchRequest(CursorRequest):
    """`state` `open`: all that is not decided yet. `user_id`: whose content or conduct it is."""

    kind: Literal["", Kind] = ""
    state: Literal["", "open", State] = ""
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""


class DecisionRequest(Request):
    """`state`: that of the item when the operator decided; 409 if it is another by now."""

    approved: Annotated[bool, Field(examples=[True])]
    state: Annotated[State, Field(examples=["review"])]
    reason: Text = ""


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
    user: FaceView | None
    live_id: int
    value: str
    before: str
    shown: bool
    label: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str
    decision: str


class EvidenceResponse(Response):
    """Of a report: `reporter`, `text`, what both wrote in the room and its events.

    Of a stream: its name, the `medium`, the `url` of the picture or sound, CSS's `score` and
    `suggestion`, and the `text` that is written or said in it. {} for other kinds.
    """

    evidence: dict[str, Any]


class ModerationPolicyResponse(Response):
    """The settings that decide what is checked and kept, by name."""

    policy: dict[str, str | int | float]


class OpsItemsHandler(OperatorHandler):
    """Items of the moderation queue, newest first."""

    @endpoint()
    async def get(self, params: ModerationSearchRequest) -> Page[ModerationItemResponse]:
        states = (
            [*OPEN_STATES] if params.state == "open" else [params.state] if params.state else []
        )
        stores = self.context.stores
        items, cursor = await stores.moderation.page(
            params.after, PAGE_SIZE, kind=params.kind, state=states, user_id=params.user_id
        )
        found = await stores.users.find_many([*{item.user_id for item in items}])
        users = {user.user_id: user for user in found}
        rows = [{**fields_of(item), "user": users.get(item.user_id)} for item in items]
        return Page[ModerationItemResponse].of(rows, cursor)


class ItemTargetHandler(OperatorHandler):
    """Base of the endpoints whose use is audited."""

    async def target_state(self) -> Mapping[str, Any]:
        item = await self.context.stores.moderation.find(str(self.path_args[0]))
        return {"state": item.state} if item else {}

    async def target_details(self) -> Mapping[str, Any]:
        """Return the decided item: its user finds the entry even after it has expired."""
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


class OpsDecideHandler(ItemTargetHandler):
    """Approve a value, which others see from now on, or refuse it, so that they no longer do.

    Approving a refused value permits its user to propose it again, and shows nothing by itself. A
    refused picture is deleted: its user uploads it again, and it is checked again.
    A report is dismissed or upheld, and a stream allowed or stopped. What follows a report is
    decided elsewhere: `PATCH users/ID` bans a user, `POST rooms/ID/put_out` removes them from a
    room, and `POST rooms/ID/end` ends a live.
    """

    @endpoint(errors=[NotFound, AlreadyDecided])
    async def post(self, item_id: str, params: DecisionRequest) -> None:
        await self.context.services.decisions.decide(
            item_id, params.state, self.operator.name, params.reason, approved=params.approved
        )


class OpsModerationPolicyHandler(OperatorHandler):
    """The policy of each kind, and how long items are kept, as the settings have it."""

    @endpoint()
    async def get(self) -> ModerationPolicyResponse:
        settings = self.context.settings
        kept = settings.retention.model_dump(include={"moderation_days", "chat_days"})
        policy = settings.moderation.model_dump(exclude={"forbidden_words_file"})
        policy["words_file"] = settings.moderation.forbidden_words_file
        policy["stream_forbid_minutes"] = STREAM_FORBIDDEN // timedelta(minutes=1)
        policy["risk_rank"] = "on" if policy["risk_rank_high"] else "off"
        return ModerationPolicyResponse(policy={**policy, **kept})
