"""How each trouble of a plan is made, and how it ends."""

import asyncio
import signal
import time

import structlog

from chaos.fleet import Fleet, Node
from chaos.plan import Trouble
from chaos.program import Program
from chaos.proxy import Proxy

SLOW_SECONDS = {"phones": 0.4, "redis": 0.3, "mongodb": 0.05}
LOSS = {"phones": 0.02, "redis": 0.05, "mongodb": 0.01}

log = structlog.get_logger("chaos")


async def suffer(fleet: Fleet, trouble: Trouble) -> None:
    """From its beginning to its end."""
    log.info("trouble", kind=trouble.kind, track=trouble.track, node=trouble.node)
    node = fleet.nodes[trouble.node]
    if trouble.track == "server":
        await _of_server(node, trouble)
    elif trouble.track == "mongodb" and trouble.kind in ("kill", "freeze"):
        await _of_mongod(fleet, trouble)
    elif trouble.track == "redis" and trouble.kind in ("kill", "freeze"):
        await _of_program(fleet.redis, trouble)
    else:
        proxies = {"redis": fleet.redis_proxy, "mongodb": fleet.mongo_proxy, "phones": node.proxy}
        await _of_network(proxies[trouble.track], trouble)
    log.info("trouble_over", kind=trouble.kind, track=trouble.track, node=trouble.node)


async def _of_server(node: Node, trouble: Trouble) -> None:
    if trouble.kind == "deploy":
        await node.program.deploy()
    elif trouble.kind == "kill":
        node.kill()
        await asyncio.sleep(trouble.lasting)
        node.program.let_up()
    else:
        await _of_program(node.program, trouble)


async def _of_program(program: Program, trouble: Trouble) -> None:
    if trouble.kind == "kill":
        program.knock_down()
        await asyncio.sleep(trouble.lasting)
        program.let_up()
    else:
        program.send(signal.SIGSTOP)
        await asyncio.sleep(trouble.lasting)
        program.send(signal.SIGCONT)


async def _of_mongod(fleet: Fleet, trouble: Trouble) -> None:
    if trouble.kind == "kill":
        await fleet.mongod.kill()
        await asyncio.sleep(trouble.lasting)
        await fleet.mongod.start()
        log.info("mongodb_back", at=time.time())
    else:
        fleet.mongod.send(signal.SIGSTOP)
        await asyncio.sleep(trouble.lasting)
        fleet.mongod.send(signal.SIGCONT)


async def _of_network(proxy: Proxy, trouble: Trouble) -> None:
    match trouble.kind:
        case "reset":
            proxy.reset_all()
        case "half_open":
            proxy.half_open()
        case "slow":
            proxy.slow(SLOW_SECONDS[trouble.track])
        case "lossy":
            proxy.lossy(LOSS[trouble.track])
        case "refuse":
            proxy.refuse()
        case "hold":
            proxy.hold()
    await asyncio.sleep(trouble.lasting)
    await proxy.heal()
