"""Operators' overview: dependencies, rooms, money and refused callbacks."""

from datetime import UTC, datetime

from handlers.base import endpoint
from handlers.health import DependencyResponse, readiness
from handlers.ops.base import OperatorHandler
from handlers.schemas.responses import Response
from ledger.ranking import day_of
from tencent.message_push import ATTENTION


class PaidOrdersResponse(Response):
    orders: int
    fen: int
    gold: int


class GiftTotalsResponse(Response):
    gold: int
    income: int


class TodayResponse(Response):
    """Paid orders and gifts of the current day in China."""

    sold: PaidOrdersResponse
    given: GiftTotalsResponse


class LedgerCheckResponse(Response):
    """Result of the last ledger check.

    `problems` is null before the first check and -1 when the check failed. `at` and `full_at` are
    unix seconds: the start of the last check, and of the last one that covered the whole ledger.
    """

    problems: int | None
    at: float | None
    full_at: float | None
    gold: int
    income: int
    owed: int
    owed_income: int
    fen: int
    oldest_unpaid_seconds: float


class RefusedCallbacksResponse(Response):
    source: str
    reason: str
    times: int


class PlatformEventsResponse(Response):
    """An event of WeChat on which a person has to act, such as a complaint or a penalty."""

    event: str
    times: int
    latest_at: datetime


class OverviewResponse(Response):
    """Current state and the totals of today.

    `people` counts room memberships, `sockets_here` the sockets of this process, `refused` the
    distinct callbacks refused in the last day, by source and reason, and `attention` the events of
    WeChat in the last week on which a person has to act.
    """

    at: datetime
    status: str
    dependencies: dict[str, DependencyResponse]
    rooms: int
    people: int
    sockets_here: int
    today: TodayResponse
    book: LedgerCheckResponse
    debtors: int
    refused: list[RefusedCallbacksResponse]
    attention: list[PlatformEventsResponse]


class OpsOverviewHandler(OperatorHandler):
    """States and daily totals; live gauges are on /metrics."""

    @endpoint()
    async def get(self) -> OverviewResponse:
        context, now = self.context, datetime.now(UTC)
        ready, found = (
            await readiness(context),
            await context.stores.overview.figures(day_of(now), ATTENTION),
        )
        audit = context.services.ledger_audit
        return OverviewResponse(
            at=now,
            status=ready.status,
            dependencies=ready.dependencies,
            rooms=found["rooms"],
            people=found["people"],
            sockets_here=context.realtime.hub.sockets,
            today=TodayResponse(sold=found["orders_paid"], given=found["given"]),
            book=LedgerCheckResponse.model_validate(
                {**UNKNOWN, **audit.last, "oldest_unpaid_seconds": audit.oldest_unpaid}
            ),
            debtors=found["debtors"],
            refused=found["refused"],
            attention=found["attention"],
        )


UNKNOWN = {
    **dict.fromkeys(("gold", "income", "owed", "owed_income", "fen"), 0),
    **dict.fromkeys(("problems", "at", "full_at")),
}
