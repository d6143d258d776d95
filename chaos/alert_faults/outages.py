"""A server, MongoDB or Redis that is down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.alert_faults.environment import AlertEnvironment, every, none

MONGODB, REDIS = (f'qlive_dependency_up{{dependency="{name}"' for name in ("mongodb", "redis"))


@asynccontextmanager
async def server_down(env: AlertEnvironment) -> AsyncIterator[None]:
    node = env.fleet.nodes[-1]
    node.kill()
    yield
    node.program.release()
    await env.fleet.wait_ready(node)


@asynccontextmanager
async def mongodb_down(env: AlertEnvironment) -> AsyncIterator[None]:
    await env.fleet.mongod.kill()
    await env.wait_for_metric(MONGODB, none(1))
    yield
    await env.fleet.mongod.start()
    await env.wait_for_metric(MONGODB, every(1))


@asynccontextmanager
async def redis_down(env: AlertEnvironment) -> AsyncIterator[None]:
    env.fleet.redis.hold_down()
    await env.wait_for_metric(REDIS, none(1))
    yield
    env.fleet.redis.release()
    await env.wait_for_metric(REDIS, every(1))
