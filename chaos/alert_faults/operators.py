"""Somebody guesses the operators' token, or a password."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.alert_faults.environment import AlertEnvironment
from chaos.api import from_address

TOKENS, LOGINS = 8, 14
"""The alerts need six and eleven."""


@asynccontextmanager
async def wrong_tokens(env: AlertEnvironment) -> AsyncIterator[None]:
    async def send(number: int) -> int:
        headers = from_address(f"token{number}") | {"Authorization": "Bearer guess"}
        return await env.send("GET", "/ops/api/rooms", headers, node=env.fleet.nodes[0])

    await asyncio.gather(*map(send, range(TOKENS)))
    yield


@asynccontextmanager
async def wrong_logins(env: AlertEnvironment) -> AsyncIterator[None]:
    async def send(number: int) -> int:
        login = {"name": f"operator{number}", "password": "guess", "code": "123456"}
        return await env.send("POST", "/ops/api/login", from_address(f"login{number}"), **login)

    await asyncio.gather(*map(send, range(LOGINS)))
    yield
