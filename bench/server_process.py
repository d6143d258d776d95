"""Runs the server in its own process, apart from the load generator."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from bench.checkout import ROOT
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from tests.support.client import HttpClient
from tests.support.no_limits import NO_LIMITS_ENVIRONMENT
from tests.support.redis_server import find_redis

START_SECONDS = 30.0


@asynccontextmanager
async def server_process(
    uri: str,
    database: str,
    folder: Path,
    port: int,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a server without rate limits; yields its process once it is ready.

    `settings` are further settings, as environment variables.
    """
    fill_in_secrets(Settings(), folder / "dev-secrets.json")  # stored beside data_dir
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
    environment = {
        **inherited,
        **NO_LIMITS_ENVIRONMENT,
        "QLIVE_SERVER__PORT": str(port),
        "QLIVE_MONGODB__URI": uri,
        "QLIVE_MONGODB__DATABASE": database,
        "QLIVE_MONGODB__DATA_DIR": str(folder / "mongo"),
        **settings,
    }
    with (folder / f"server-{port}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "server.py"), cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            await _wait_ready(f"http://127.0.0.1:{port}")
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def redis_process(port: int, folder: Path) -> AsyncIterator[None]:
    """Run a Redis that stores nothing."""
    with (folder / "redis.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(find_redis(), "--port", str(port), "--save", ""), cwd=folder, stdout=log
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _wait_ready(address: str) -> None:
    http = HttpClient()
    while not (await http.attempt("GET", f"{address}/readyz")).succeeded:
        await asyncio.sleep(0.1)
    await http.close()
