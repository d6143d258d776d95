"""The server as a program of its own, so that it does not share a process with its load."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from devsecrets import fill
from settings import Settings

ROOT = Path(__file__).parents[1]
PORT = 18_765
START_SECONDS = 30.0


@asynccontextmanager
async def serving(uri: str, database: str, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """(its address, the operators' token), once it is ready; it ends with the block."""
    settings, _ = fill(Settings(), folder / "dev-secrets.json")
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
    environment = inherited | {
        "QLIVE_SERVER__PORT": str(PORT),
        "QLIVE_MONGODB__URI": uri,
        "QLIVE_MONGODB__DATABASE": database,
        "QLIVE_MONGODB__DATA_DIR": str(folder / "mongo"),
    }
    address = f"http://127.0.0.1:{PORT}"
    with (folder / "server.log").open("wb") as log:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "server.py"), cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            await _ready(address)
        yield address, settings.ops.token
    finally:
        program.terminate()
        await program.wait()


async def _ready(address: str) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{address}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
