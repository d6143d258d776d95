"""The full QLive server, one process, with logging enabled."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvloop

from bench.calls.servers import SETTINGS, TENCENT
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from runtime import gc_tuning
from runtime.process import ServerProcess
from telemetry.logging import configure_logging
from tests.support.no_limits import NO_LIMITS


async def start_server(
    uri: str, database: str, folder: Path, **more: Any
) -> tuple[ServerProcess, int]:
    """Start the server with `more` settings; returns it and its port."""
    mongodb = {"uri": uri, "database": database}
    given = {"server": {"port": 0}, "mongodb": mongodb, "limits": NO_LIMITS, **more}
    settings = fill_in_secrets(Settings.model_validate(given), folder / "dev-secrets.json")
    server = ServerProcess(*settings)
    await server.start()
    gc_tuning.freeze_startup_objects()
    return server, int(server.address.rpartition(":")[2])


async def main(uri: str, database: str, folder: str) -> None:
    configure_logging("info", as_json=True)
    addresses: dict[str, Any] = {}
    if tencent := os.environ.get(TENCENT):
        addresses = {part: {"api_base": tencent} for part in ("wechat", "im", "pay")}
        addresses["live_streaming"] = {"api_base": f"{tencent}/live"}
    more = addresses | json.loads(os.environ[SETTINGS])
    _, port = await start_server(uri, database, Path(folder), **more)
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
