"""The faults of a storm, planned by a seed and injected."""

import asyncio
import random
from dataclasses import dataclass

import structlog

from chaos.fleet import Fleet
from chaos.program import Program
from chaos.proxy import Proxy

TRACKS: dict[str, dict[str, tuple[float, float]]] = {
    "server": {"kill": (0.5, 4.0), "deploy": (0.0, 1.0), "freeze": (0.5, 5.0)},
    "clients": {
        "reset": (0.0, 0.1),
        "half_open": (1.0, 5.0),
        "slow": (2.0, 6.0),
        "lossy": (2.0, 6.0),
        "refuse": (1.0, 4.0),
        "hold": (1.0, 5.0),
    },
    "redis": {
        "kill": (0.5, 8.0),
        "freeze": (1.0, 8.0),
        "half_open": (2.0, 8.0),
        "lossy": (2.0, 6.0),
        "slow": (2.0, 6.0),
        "reset": (0.0, 0.1),
    },
    "mongodb": {
        "freeze": (0.5, 6.0),
        "kill": (0.2, 3.0),
        "reset": (0.0, 0.1),
        "half_open": (1.0, 5.0),
        "lossy": (1.0, 5.0),
        "slow": (1.0, 4.0),
    },
}
"""Kinds of faults with their minimum and maximum duration in seconds, by track."""
GAPS = {"server": (2.0, 8.0), "clients": (1.0, 5.0), "redis": (4.0, 12.0), "mongodb": (8.0, 20.0)}
"""Minimum and maximum seconds between two faults of a track."""
SLOW_SECONDS = {"clients": 0.4, "redis": 0.3, "mongodb": 0.05}
RESET_PROBABILITY = {"clients": 0.02, "redis": 0.05, "mongodb": 0.01}

log = structlog.get_logger("chaos")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that starts `at` seconds into the storm and lasts `duration` seconds."""

    at: float
    duration: float
    track: str
    kind: str
    node: int


def make_plan(
    seed: int, seconds: float, nodes: int, tracks: tuple[str, ...] = (*TRACKS,)
) -> list[Fault]:
    """Plan faults, sorted by start; those of one track never overlap, those of two may."""
    rng = random.Random(seed)
    plan: list[Fault] = []
    for track in tracks:
        at = rng.uniform(0.5, GAPS[track][1])
        while True:
            kind = rng.choice([*TRACKS[track]])
            duration = rng.uniform(*TRACKS[track][kind])
            if at + duration > seconds:
                break
            fault = Fault(round(at, 2), round(duration, 2), track, kind, rng.randrange(nodes))
            plan.append(fault)
            at += duration + rng.uniform(*GAPS[track])
    return sorted(plan, key=lambda fault: fault.at)


async def inject(fleet: Fleet, fault: Fault) -> None:
    """Run a fault from its start to its end."""
    log.info("fault_started", kind=fault.kind, track=fault.track, node=fault.node)
    node = fleet.nodes[fault.node]
    if fault.kind in ("kill", "freeze", "deploy"):
        (mongod,) = fleet.mongodb.members.values()
        programs = {"server": node.program, "redis": fleet.redis, "mongodb": mongod}
        await _program_fault(programs[fault.track], fault)
    else:
        assert node.proxy
        proxies = {"redis": fleet.redis_proxy, "mongodb": fleet.mongo_proxy, "clients": node.proxy}
        await _network_fault(proxies[fault.track], fault)
    log.info("fault_ended", kind=fault.kind, track=fault.track, node=fault.node)


async def _program_fault(program: Program, fault: Fault) -> None:
    match fault.kind:
        case "deploy":
            await program.restart()
        case "kill":
            program.hold_down()
            await asyncio.sleep(fault.duration)
            program.release()
        case "freeze":
            program.suspend()
            await asyncio.sleep(fault.duration)
            program.resume()


async def _network_fault(proxy: Proxy, fault: Fault) -> None:
    match fault.kind:
        case "reset":
            proxy.reset_all()
        case "refuse":
            proxy.refuse()
        case "slow":
            proxy.delay = SLOW_SECONDS[fault.track]
        case "lossy":
            proxy.reset_probability = RESET_PROBABILITY[fault.track]
    proxy.is_half_open, proxy.is_held = fault.kind == "half_open", fault.kind == "hold"
    await asyncio.sleep(fault.duration)
    await proxy.heal()
