"""Whether the server lives, whether it is ready, and its numbers."""

from datetime import datetime
from typing import Literal

from handlers.answers import Answer
from handlers.base import Handler, call
from handlers.parts import Parts
from realtime.redis_bus import RedisBus


class Alive(Answer):
    status: Literal["ok"] = "ok"


class Dependency(Answer):
    """latency_ms of the last answer, null before the first."""

    state: Literal["ok", "down", "unknown"]
    latency_ms: float | None
    since: datetime | None = None
    """When a service outside came to this state."""


class Ready(Answer):
    """degraded: Redis or a service outside is down; the rooms go on without it."""

    status: Literal["ok", "degraded", "down", "draining"]
    dependencies: dict[str, Dependency]


class Healthz(Handler):
    """The process answers."""

    @call
    async def get(self) -> Alive:
        return Alive()


class Readyz(Handler):
    """Each dependency with its state; 503 while requests would fail."""

    @call
    async def get(self) -> Ready:
        ready = await readiness(self.parts)
        if ready.status in ("down", "draining"):
            self.set_status(503)
            self.set_header("Retry-After", "2")
        return ready


class MetricsPage(Handler):
    """Prometheus reads this: of several workers whichever it reaches, see qlive_process_id."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        await self.finish(self.parts.metrics.text())


async def readiness(parts: Parts) -> Ready:
    """Of this process; MongoDB is asked, the others are known by their last answers."""
    latency = await parts.database.latency_ms()
    state: Literal["ok", "down"] = "down" if latency is None else "ok"
    found = {"mongodb": Dependency(state=state, latency_ms=latency)}
    for outside in parts.outside:
        found[outside.name] = Dependency(
            state=outside.state, latency_ms=outside.latency_ms, since=outside.since
        )
    if isinstance(parts.bus, RedisBus):
        said: Literal["ok", "down"] = "ok" if parts.bus.healthy else "down"
        found["redis"] = Dependency(state=said, latency_ms=parts.bus.latency_ms)
    status: Literal["ok", "degraded", "down", "draining"] = "ok"
    if any(dependency.state == "down" for dependency in found.values()):
        status = "degraded"
    if found["mongodb"].state == "down":
        status = "down"
    if parts.draining:
        status = "draining"
    return Ready(status=status, dependencies=found)
