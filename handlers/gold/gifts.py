"""Gifts: the list, giving, limits of giving, and rankings; statements; the configs of clients.

China's rules on live tipping forbid rankings by gifts alone, and the display of a user's spending
without consent: rankings show the users who agreed, without any sum. Production shows rankings only
if `ranking.public` is true.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel, StringConstraints

from core.clock import day_of
from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.errors import PageNotFound
from handlers.models import (
    LIST_PAGE_SIZE,
    FaceView,
    Gold,
    LiveRequest,
    Number,
    PageRequest,
    Request,
    Response,
    Time,
    UserId,
    Whole,
)
from ledger.errors import InsufficientGold, RequestIdReused
from ledger.gifts import day_scope, live_scope
from ledger.giving import REFUSALS, Giver, OwnCap
from ledger.journal import Unit
from people.profiles import PublicProfile
from rooms.errors import RoomNotFound
from services.errors import AgeUnverified, Blocked, HighRisk, RateMissing
from storage.errors import GiftNotFound, UserNotFound


def _parse_day(value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("a day is YYYY-MM-DD")
    return date.fromisoformat(value)


MAX_PAGES = 500
"""Pages of a statement; the entries before a page are added up."""


class DayRequest(Request):
    """`day`: YYYY-MM-DD in China time (UTC+8)."""

    day: Annotated[date, BeforeValidator(_parse_day)] | None = None


class PushGiftRequest(Request):
    """`confirm`: the user has seen how much they have given, and confirms the gift."""

    user_id: UserId
    gift_id: Number
    num: Annotated[Whole, Field(ge=1, le=9999)] = 1
    request_id: Annotated[str, StringConstraints(max_length=64)] = ""
    confirm: bool = False


class GivingLimitsRequest(Request):
    """Own caps of a gift, a day and a month in China; 0: none. A cap that is left out stays."""

    gift_gold: Gold | None = None
    day_gold: Gold | None = None
    month_gold: Gold | None = None


class GiftResponse(Response):
    id: int
    name: str
    image: str
    gold: int
    effect: str


class GiftPageResponse(Response):
    count: int
    next: str | None
    previous: str | None
    results: list[GiftResponse]


class GiftGivenResponse(Response):
    status: Literal["success"]
    gold: int
    income: int
    reminder: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Present if the gift has reached the share of a cap from which gifts need `confirm`."""


class GivingCapResponse(Response):
    """The user's own cap and that of the house; 0: none. `next` replaces `own` at `next_at`."""

    own: int
    next: int | None
    next_at: Time | None
    house: int


class GivingSumResponse(GivingCapResponse):
    """Gold given in a day or a month, with its cap."""

    given: int


class GivingLimitsResponse(Response):
    """`gift`: the most that one gift, with its number, may cost."""

    gift: GivingCapResponse
    day: GivingSumResponse
    month: GivingSumResponse


class SenderResponse(FaceView):
    """`gold` is always 0: what a user spends is not shown."""

    gold: int = 0


class ReceiverResponse(FaceView):
    """`income` is always 0, as `gold` of a sender."""

    income: int = 0


class RankResponse(Response):
    """Users who agreed (`show_in_ranking`), highest first, at most 50 in each list.

    Empty where rankings are not public, as by default in production.
    """

    senders: list[SenderResponse]
    takings: list[ReceiverResponse]


class StatementRequest(Request):
    unit: Annotated[Unit, Field(examples=["gold"])]
    page: Annotated[Whole, Field(ge=1, le=MAX_PAGES)] = 1


class StatementRowResponse(Response):
    """`balance` after the entry; a negative `amount` lowered it.

    `who`: the other user of a gift. `settle`: payment of a debt.
    """

    time: Time
    what: Literal["recharge", "gift", "grant", "reversal", "withdrawal", "return", "settle"]
    who: FaceView | None
    amount: int
    balance: int


class StatementResponse(Response):
    success: Literal["success"] = "success"
    unit: Unit
    page: int
    results: list[StatementRowResponse]
    has_more: bool


class ConfigsResponse(RootModel[dict[str, Any]]):
    pass


class GiftListHandler(ActiveUserHandler):
    """One page of gifts, with the URLs of the next and previous page."""

    read_only = True

    @endpoint(limit="read", errors=[PageNotFound])
    async def get(self, params: PageRequest) -> GiftPageResponse:
        size = LIST_PAGE_SIZE
        gifts = [*(await self.context.services.gold.catalogue.current()).gifts.values()]
        count, rows = len(gifts), gifts[(params.page - 1) * size : params.page * size]
        if not rows and params.page > 1:
            raise PageNotFound
        return GiftPageResponse(
            count=count,
            next=self._page_url(params.page + 1) if params.page * size < count else None,
            previous=self._page_url(params.page - 1) if params.page > 1 else None,
            results=[GiftResponse.model_validate(row) for row in rows],
        )

    def _page_url(self, page: int) -> str:
        request, scheme = self.request, self.request.protocol
        if request.remote_ip in self.context.settings.server.trusted_proxies:
            forwarded = request.headers.get("X-Forwarded-Proto")
            scheme = forwarded if forwarded in ("http", "https") else scheme
        return f"{scheme}://{request.host}{request.path}?page={page}"


class PushGiftHandler(ActiveUserHandler):
    """Give a user a gift; the room that both are in receives an event."""

    soft_errors = {InsufficientGold: "status"}

    @endpoint(
        limit="gift",
        errors=[
            UserNotFound,
            GiftNotFound,
            InsufficientGold,
            RequestIdReused,
            RateMissing,
            Blocked,
            HighRisk,
            AgeUnverified,
            *REFUSALS,
        ],
    )
    async def get(self, params: PushGiftRequest) -> GiftGivenResponse:
        self.check_other(params.user_id, "you cannot give a gift to yourself")
        result = await self.context.services.gold.gifts.send(
            self.user,
            params.user_id,
            params.gift_id,
            params.num,
            params.request_id,
            confirmed=params.confirm,
        )
        return GiftGivenResponse.model_validate(result)


class GivingLimitsHandler(ActiveUserHandler):
    @endpoint(limit="read")
    async def get(self) -> GivingLimitsResponse:
        """Read the sums that the caller has given today and this month in China, and the caps."""
        return self._response(await self.context.stores.ledger.giver(self.user_id))

    @endpoint(limit="profile")
    async def post(self, params: GivingLimitsRequest) -> GivingLimitsResponse:
        """Change the caller's own caps: lowered at once, raised after 24 hours."""

        def change(giver: Giver) -> Giver:
            caps = {"gift": params.gift_gold, "day": params.day_gold, "month": params.month_gold}
            return giver.with_own_caps(datetime.now(UTC), **caps)

        return self._response(await self.context.stores.ledger.change_giver(self.user_id, change))

    def _response(self, giver: Giver) -> GivingLimitsResponse:
        rules, giver = self.context.services.gold.gifts.rules, giver.at(datetime.now(UTC))
        day = _cap(giver.own_day, rules.day_gold) | {"given": giver.day_gold}
        month = _cap(giver.own_month, rules.month_gold) | {"given": giver.month_gold}
        gift = _cap(giver.own_gift, rules.gift_gold)
        return GivingLimitsResponse.model_validate({"gift": gift, "day": day, "month": month})


def _cap(own: OwnCap, house: int) -> dict[str, Any]:
    following = own.next if own.next_at else None
    return {"own": own.gold, "next": following, "next_at": own.next_at, "house": house}


class StatementHandler(ActiveUserHandler):
    """Read the entries behind the caller's balance of gold or income, newest first."""

    @endpoint(limit="read")
    async def get(self, params: StatementRequest) -> StatementResponse:
        size, page = LIST_PAGE_SIZE, params.page
        rows = await self.context.stores.statements.page(
            self.user_id, params.unit, (page - 1) * size, size + 1
        )
        has_more = len(rows) > size and page < MAX_PAGES
        return StatementResponse.model_validate(
            {**params.model_dump(), "results": rows[:size], "has_more": has_more}
        )


MAX_SHOWN = 50
"""Longest list that is shown."""
CANDIDATES = 500
"""Users at the top of a ranking who are considered; bounds the two queries."""


class RankHandler(ActiveUserHandler):
    """Gift ranking of the room's current live, or of the last one until the next starts.

    That of a private live is empty.
    """

    read_only = True

    @endpoint(limit="read", errors=[RoomNotFound])
    async def get(self, params: LiveRequest) -> RankResponse:
        room = await self.context.room_changes.load(params.live_id)
        if room.visibility == "private":
            return RankResponse(senders=[], takings=[])
        return await _ranking(self.context, live_scope(room.live_id, room.epoch))


class DayRankHandler(ActiveUserHandler):
    """Ranking of all gifts of one day in China (UTC+8), today by default."""

    read_only = True

    @endpoint(limit="read")
    async def get(self, params: DayRequest) -> RankResponse:
        return await _ranking(self.context, day_scope(params.day or day_of(datetime.now(UTC))))


async def _ranking(context: Context, scope: str) -> RankResponse:
    if not context.settings.rankings_are_public:
        return RankResponse(senders=[], takings=[])
    senders = await _shown(context, scope, "gold")
    receivers = await _shown(context, scope, "income")
    return RankResponse.model_validate({"senders": senders, "takings": receivers})


async def _shown(context: Context, scope: str, unit: str) -> list[PublicProfile]:
    """Return the users at the top of the ranking who agreed to be shown, highest first."""
    ranked = await context.stores.rankings.top(scope, unit, CANDIDATES)
    shown = await context.stores.users.shown_in_rankings([user_id for user_id, _ in ranked])
    return [user.person().public_profile() for user in shown[:MAX_SHOWN]]


class GetConfigsHandler(ActiveUserHandler):
    """All enabled configs except the exchange and withdraw rates."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> ConfigsResponse:
        return ConfigsResponse(await self.context.stores.configs.public_values())
