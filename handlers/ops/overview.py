"""How the night goes, at a glance."""

from datetime import UTC, datetime

from handlers.answers import Answer
from handlers.base import call
from handlers.health import Dependency, readiness
from handlers.ops.base import Operator
from money.rank import day_of


class Process(Answer):
    id: str
    lease_until: datetime


class Sold(Answer):
    orders: int
    fen: int
    gold: int


class Given(Answer):
    gold: int
    income: int


class Today(Answer):
    """Of this day in China: orders paid, and gifts."""

    sold: Sold
    given: Given


class BookState(Answer):
    """What check-ledger found last; `problems` is null before, and -1 when it failed. `at` and
    `full_at` are unix seconds: when it began, and when it last looked at the whole book."""

    problems: int | None
    at: float | None
    full_at: float | None
    gold: int
    income: int
    owed: int
    fen: int
    oldest_unpaid_seconds: float


class RefusedReports(Answer):
    source: str
    reason: str
    times: int


class AtAGlance(Answer):
    """`people` have a place in a room; `refused` are the different reports of
    the last day."""

    at: datetime
    status: str
    dependencies: dict[str, Dependency]
    processes: list[Process]
    rooms: int
    people: int
    sockets_here: int
    today: Today
    book: BookState
    debtors: int
    refused: list[RefusedReports]


class Overview(Operator):
    """States and sums; what changes from moment to moment is on /metrics."""

    @call
    async def get(self) -> AtAGlance:
        parts, now = self.parts, datetime.now(UTC)
        ready, found = await readiness(parts), await parts.overview.figures(day_of(now))
        book = parts.books
        return AtAGlance(
            at=now,
            status=ready.status,
            dependencies=ready.dependencies,
            processes=found["processes"],
            rooms=found["rooms"],
            people=found["people"],
            sockets_here=parts.hub.sockets,
            today=Today(sold=found["orders_paid"], given=found["given"]),
            book=BookState.model_validate(
                {**UNKNOWN, **book.last, "oldest_unpaid_seconds": book.oldest_unpaid}
            ),
            debtors=found["debtors"],
            refused=found["refused"],
        )


UNKNOWN = {
    **dict.fromkeys(("gold", "income", "owed", "fen"), 0),
    **dict.fromkeys(("problems", "at", "full_at")),
}
