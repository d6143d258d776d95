"""Operators' overview: dependencies, rooms, money and refused callbacks; processes and queues."""

from datetime import UTC, datetime
from itertools import groupby

from core.clock import day_of
from handlers.base import endpoint
from handlers.health import DependencyResponse, readiness
from handlers.models import Response
from handlers.operator_base import OperatorHandler
from rooms.moderation import Kind
from storage.fleet import FleetProcess, Queues
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

    problems: int | None = None
    at: float | None = None
    full_at: float | None = None
    gold: int = 0
    income: int = 0
    owed: int = 0
    owed_income: int = 0
    fen: int = 0
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


class OpenItemsResponse(Response):
    """Items of one kind in the moderation queue that are not decided."""

    kind: Kind
    items: int
    oldest_at: datetime


class OverviewResponse(Response):
    """Current state and the totals of today.

    `people` counts room memberships, `sockets_here` the sockets of this process, `refused` the
    distinct callbacks refused in the last day, by source and reason, and `attention` the events of
    WeChat in the last week on which a person has to act. `moderation` has the kinds with open
    items.
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
    moderation: list[OpenItemsResponse]


class OpsOverviewHandler(OperatorHandler):
    """States and daily totals; live gauges are on /metrics."""

    @endpoint()
    async def get(self) -> OverviewResponse:
        context, now = self.context, datetime.now(UTC)
        ready = await readiness(context)
        found = await context.stores.fleet.daily_counts(day_of(now), ATTENTION)
        audit = context.services.gold.audit
        counts, oldest = await context.stores.moderation.open_counts()
        return OverviewResponse.model_validate(
            {
                **found,
                "at": now,
                "status": ready.status,
                "dependencies": ready.dependencies,
                "sockets_here": context.hub.socket_count,
                "today": {"sold": found["orders_paid"], "given": found["given"]},
                "moderation": [
                    {"kind": kind, "items": n, "oldest_at": oldest[kind]}
                    for kind, n in counts.items()
                ],
                "book": {**audit.last, "oldest_unpaid_seconds": audit.oldest_unpaid},
            }
        )


class MachineResponse(Response):
    machine: str
    processes: list[FleetProcess]


class FleetResponse(Response):
    """`at` and all ages are by the clock of the database; `versions` are those that serve."""

    at: datetime
    versions: list[str]
    missing: int
    machines: list[MachineResponse]
    queues: Queues


class ChartPointResponse(Response):
    """Sums over all processes within 15 s, and the maxima of the three durations."""

    at: datetime
    processes: int
    sockets: float
    requests_rate: float
    """Requests answered per second, as are the other rates."""
    refused_rate: float
    """Requests answered with 4xx."""
    failed_rate: float
    """Requests answered with 5xx."""
    events_rate: float
    """Events delivered to rooms, each counted once for each process with a socket of its room."""
    loop_lag_ms: float
    """Delay of the event loop."""
    slowest_request_ms: float
    slowest_delivery_ms: float
    """Longest time from saving an event to its delivery."""


class ChartsResponse(Response):
    """The last half hour, from the oldest point to the newest."""

    points: list[ChartPointResponse]


class OpsFleetHandler(OperatorHandler):
    """Every process of the deployment, also those of other machines, as of its last status."""

    @endpoint()
    async def get(self) -> FleetResponse:
        fleet, now = self.context.stores.fleet, await self.context.database.now()
        processes = await fleet.processes(now)
        machines = groupby(processes, lambda process: process.machine)
        return FleetResponse(
            at=now,
            versions=sorted({row.version for row in processes if row.state != "missing"}),
            missing=sum(process.state == "missing" for process in processes),
            machines=[MachineResponse(machine=name, processes=[*rows]) for name, rows in machines],
            queues=await fleet.queues(now),
        )


class OpsChartsHandler(OperatorHandler):
    """Figures of all processes over the last half hour, from what they store."""

    @endpoint()
    async def get(self) -> ChartsResponse:
        points = await self.context.stores.fleet.chart_points(await self.context.database.now())
        return ChartsResponse.model_validate(
            {"points": [{**point, "at": point["_id"]} for point in points]}
        )
