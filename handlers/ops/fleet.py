"""Operators' view of the fleet: machines, processes with their leases and readings, queues."""

from datetime import datetime

from handlers.base import endpoint
from handlers.ops.base import OperatorHandler
from handlers.schemas.responses import Response
from services.fleet import FleetProcess, State, fleet_of
from storage.fleet import Queues


class ReadingsResponse(Response):
    """What a process has read when it last renewed its lease; null if its release does not."""

    loop_lag_ms: float | None = None
    """Delay of the event loop."""
    sockets: int | None = None
    rooms: int | None = None
    """Rooms with a socket in this process."""
    requests: int | None = None
    joins_waiting: int | None = None
    slow_clients: int | None = None
    """Sockets with unsent data."""
    rooms_behind: int | None = None
    """Rooms whose missed events are being read from the database."""
    relay_waiting: int | None = None
    """Rooms that the relay to Tencent IM has not stored as due yet."""
    bus_waiting: int | None = None
    """Messages that wait to be sent to Redis."""


class FleetProcessResponse(Response):
    """A process that holds a lease, or whose lease has lapsed within the last hour.

    `missing`: it has not renewed its lease, nor released it as a stopping process does. `replaced`:
    the same, and another process has started in its place. Other fields are null if the process is
    of a release that does not report them, or in another form.
    """

    id: str
    state: State
    worker: int | None = None
    """Slot in its supervisor, from 0; null without a supervisor."""
    pid: int | None = None
    address: str | None = None
    version: str | None = None
    started_at: datetime | None = None
    lease_until: datetime
    lease_age_seconds: float | None
    """Time since the last renewal."""
    readings: ReadingsResponse


class MachineResponse(Response):
    """`machine` is null for processes of a release that does not report it."""

    machine: str | None
    processes: list[FleetProcessResponse]


class QueuesResponse(Response):
    """Work for Tencent that waits in the database; longer queues than 10,000 are not counted on."""

    outbox_urgent: int
    outbox_normal: int
    outbox_oldest_seconds: float
    relay_rooms: int
    """Rooms with events that Tencent IM does not have yet."""
    relay_oldest_seconds: float
    """How far the relay is behind."""


class FleetResponse(Response):
    """`at` and all ages are by the clock of the database; `versions` are those that serve."""

    at: datetime
    versions: list[str]
    versions_differ: bool
    missing: int
    machines: list[MachineResponse]
    queues: QueuesResponse


class OpsFleetHandler(OperatorHandler):
    """Every process of the deployment, also those of other machines, as of its last report."""

    @endpoint()
    async def get(self) -> FleetResponse:
        stores = self.context.stores
        now = await self.context.database.now()
        fleet = fleet_of(await stores.fleet.processes(), now)
        return FleetResponse(
            at=now,
            versions=fleet.versions,
            versions_differ=fleet.versions_differ,
            missing=fleet.missing,
            machines=[
                MachineResponse(machine=name, processes=[_process(it, now) for it in processes])
                for name, processes in fleet.machines
            ],
            queues=_queues(await stores.fleet.queues(now), now),
        )


def _process(process: FleetProcess, now: datetime) -> FleetProcessResponse:
    renewed_at = process.renewed_at
    return FleetProcessResponse.model_validate(
        {
            "readings": {},
            **process.report,
            "id": process.id,
            "state": process.state,
            "lease_until": process.lease_until,
            "lease_age_seconds": _age(renewed_at, now) if renewed_at else None,
        }
    )


def _queues(queues: Queues, now: datetime) -> QueuesResponse:
    return QueuesResponse(
        outbox_urgent=queues.outbox_urgent,
        outbox_normal=queues.outbox_normal,
        outbox_oldest_seconds=_age(queues.outbox_oldest_at, now),
        relay_rooms=queues.relay_rooms,
        relay_oldest_seconds=_age(queues.relay_oldest_at, now),
    )


def _age(at: datetime | None, now: datetime) -> float:
    """Seconds since `at`; 0 without one."""
    return max(0.0, (now - at).total_seconds()) if at else 0.0
