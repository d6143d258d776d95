"""Blocks of requests to one server process, which changes its variant between them."""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from bench.calls.servers import ROOT, TENCENT, simulated_tencent

WARM_UP, BLOCK = 128, 256
"""Requests after each change of the variant that are not measured, and those that are."""


class Cost(NamedTuple):
    """Of some requests: CPU seconds of the server, seconds until all were answered."""

    cpu: float
    seconds: float


def _total(costs: Sequence[Cost]) -> Cost:
    return Cost(sum(cost.cpu for cost in costs), sum(cost.seconds for cost in costs))


class VariedServer:
    """The server, and the load generator with its connections; nothing is sent between blocks."""

    def __init__(
        self,
        server: asyncio.subprocess.Process,
        load: asyncio.subprocess.Process,
    ) -> None:
        self._server = server
        self._load = load

    async def both(self, a: str, b: str) -> tuple[Cost, Cost]:
        """Costs of two variants, in two blocks each: a b b a or b a a b.

        A drift of the machine affects both alike.
        """
        first, second = random.sample([a, b], 2)
        costs: dict[str, list[Cost]] = {a: [], b: []}
        for variant in (first, second, second, first):
            costs[variant].append(await self._block(variant))
        return _total(costs[a]), _total(costs[b])

    async def _block(self, variant: str) -> Cost:
        await _ask(self._server, variant)
        await _ask(self._load, str(WARM_UP))
        before = float(await _ask(self._server, ""))
        result = json.loads(await _ask(self._load, str(BLOCK)))
        cpu = float(await _ask(self._server, "")) - before
        assert (result["responses"], result["errors"]) == (BLOCK, 0)
        return Cost(cpu, result["seconds"])


@contextlib.asynccontextmanager
async def varied_server(
    load: Path, connections: int, request_file: Path, uri: str, database: str, folder: Path
) -> AsyncIterator[VariedServer]:
    async with contextlib.AsyncExitStack() as stack:
        tencent = await stack.enter_async_context(simulated_tencent(folder))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), TENCENT: tencent}
        command = [sys.executable, "-m", "bench.overhead.server", uri, database, str(folder)]
        log = stack.enter_context((folder / "overhead.log").open("wb"))
        server = await stack.enter_async_context(_process(*command, log=log, env=environment))
        port = (await _line(server)).decode().strip()
        client = [str(load), port, str(connections), "blocks", str(request_file)]
        yield VariedServer(server, await stack.enter_async_context(_process(*client)))


@contextlib.asynccontextmanager
async def _process(
    *command: str, log: IO[bytes] | None = None, env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=log, env=env
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def _ask(process: asyncio.subprocess.Process, question: str) -> bytes:
    assert process.stdin
    process.stdin.write(question.encode() + b"\n")
    return await _line(process)


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout
    return await process.stdout.readline()
