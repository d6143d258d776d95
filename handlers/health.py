"""Liveness, readiness and metrics endpoints."""

from datetime import datetime
from typing import Literal

from handlers.base import Handler, endpoint
from handlers.context import Context
from handlers.models import Response, TextResponse
from tencent.service_client import State

Status = Literal["ok", "degraded", "down", "draining"]


class AliveResponse(Response):
    status: Literal["ok"] = "ok"


class DependencyResponse(Response):
    """State of one dependency; `latency_ms` of its last answer, null before the first."""

    state: State
    latency_ms: float | None
    since: datetime | None = None
    """When an external service entered this state."""


class ReadyResponse(Response):
    """`degraded`: a dependency other than MongoDB is down; rooms keep working without it.

    `redis` is also down while several processes use the database without one.

    `rates` are the two rates that operators maintain in `configs`; without them no gift is given.
    """

    status: Status
    dependencies: dict[str, DependencyResponse]


class MetricsResponse(TextResponse):
    """Prometheus text format."""

    media_type = "text/plain; version=0.0.4; charset=utf-8"


class HealthzHandler(Handler):
    """Report liveness.

    200 while the process answers, whatever its dependencies do.
    """

    @endpoint()
    async def get(self) -> AliveResponse:
        return AliveResponse()


class ReadyzHandler(Handler):
    """Report readiness, and the state of each dependency.

    503 while MongoDB is down or the process drains: a load balancer then sends nobody here.
    """

    @endpoint()
    async def get(self) -> ReadyResponse:
        ready = await readiness(self.context)
        if ready.status in ("down", "draining"):
            self.set_status(503)
            self.set_header("Retry-After", "2")
        return ready


class MetricsHandler(Handler):
    """Report the metrics of this process to Prometheus.

    Each process has its own; docs/operations.md lists them.
    """

    @endpoint()
    async def get(self) -> MetricsResponse:
        return MetricsResponse(text=self.context.metrics.text().decode())


async def readiness(context: Context) -> ReadyResponse:
    """Return the readiness: ping MongoDB, and take the last known state of the others."""
    latency = await context.database.latency_ms()
    mongodb: State = "down" if latency is None else "ok"
    dependencies = {"mongodb": DependencyResponse(state=mongodb, latency_ms=latency)}
    for service in context.tencent.services:
        dependencies[service.name] = DependencyResponse(
            state=service.state, latency_ms=service.latency_ms, since=service.since
        )
    bus = context.bus
    if context.settings.redis.url or not bus.healthy:
        redis: State = "ok" if bus.healthy else "down"
        dependencies["redis"] = DependencyResponse(state=redis, latency_ms=bus.latency_ms)
    rates: State = "unknown"
    if mongodb == "ok":
        catalogue = await context.services.gold.catalogue.current()
        rates = "down" if None in (catalogue.rate, catalogue.withdraw_rate) else "ok"
    dependencies["rates"] = DependencyResponse(state=rates, latency_ms=None)
    status: Status = "ok"
    if context.lifecycle.draining:
        status = "draining"
    elif mongodb == "down":
        status = "down"
    elif any(dependency.state == "down" for dependency in dependencies.values()):
        status = "degraded"
    return ReadyResponse(status=status, dependencies=dependencies)
