"""Injects the faults of a plan, and ends them."""

import asyncio
import signal
import time

import structlog

from chaos.fault_plan import Fault
from chaos.fleet import Fleet, Node
from chaos.program import Program
from chaos.proxy import Proxy

SLOW_SECONDS = {"clients": 0.4, "redis": 0.3, "mongodb": 0.05}
RESET_PROBABILITY = {"clients": 0.02, "redis": 0.05, "mongodb": 0.01}

log = structlog.get_logger("chaos")


async def inject(fleet: Fleet, fault: Fault) -> None:
    """Run a fault from its start to its end."""
    log.info("fault_started", kind=fault.kind, track=fault.track, node=fault.node)
    node = fleet.nodes[fault.node]
    if fault.track == "server":
        await _server_fault(node, fault)
    elif fault.track == "mongodb" and fault.kind in ("kill", "freeze"):
        await _mongod_fault(fleet, fault)
    elif fault.track == "redis" and fault.kind in ("kill", "freeze"):
        await _program_fault(fleet.redis, fault)
    else:
        proxies = {"redis": fleet.redis_proxy, "mongodb": fleet.mongo_proxy, "clients": node.proxy}
        await _network_fault(proxies[fault.track], fault)
    log.info("fault_ended", kind=fault.kind, track=fault.track, node=fault.node)


async def _server_fault(node: Node, fault: Fault) -> None:
    if fault.kind == "deploy":
        await node.program.restart()
    elif fault.kind == "kill":
        node.kill()
        await asyncio.sleep(fault.duration)
        node.program.release()
    else:
        await _program_fault(node.program, fault)


async def _program_fault(program: Program, fault: Fault) -> None:
    if fault.kind == "kill":
        program.hold_down()
        await asyncio.sleep(fault.duration)
        program.release()
    else:
        program.send_signal(signal.SIGSTOP)
        await asyncio.sleep(fault.duration)
        program.send_signal(signal.SIGCONT)


async def _mongod_fault(fleet: Fleet, fault: Fault) -> None:
    if fault.kind == "kill":
        await fleet.mongod.kill()
        await asyncio.sleep(fault.duration)
        await fleet.mongod.start()
        log.info("mongodb_restarted", at=time.time())
    else:
        fleet.mongod.send_signal(signal.SIGSTOP)
        await asyncio.sleep(fault.duration)
        fleet.mongod.send_signal(signal.SIGCONT)


async def _network_fault(proxy: Proxy, fault: Fault) -> None:
    match fault.kind:
        case "reset":
            proxy.reset_all()
        case "half_open":
            proxy.half_open()
        case "slow":
            proxy.slow(SLOW_SECONDS[fault.track])
        case "lossy":
            proxy.lossy(RESET_PROBABILITY[fault.track])
        case "refuse":
            proxy.refuse()
        case "hold":
            proxy.hold()
    await asyncio.sleep(fault.duration)
    await proxy.heal()
