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


async def main(uri: str, database: str, folder: str) -> None:
    configure_logging("info", as_json=True)
    tencent = os.environ[TENCENT]
    overrides: dict[str, Any] = {
        "server": {"port": 0},
        "mongodb": {"uri": uri, "database": database},
        "limits": NO_LIMITS,
        **{part: {"api_base": tencent} for part in ("wechat", "im", "pay")},
        "live_streaming": {"api_base": f"{tencent}/live"},
        **json.loads(os.environ[SETTINGS]),
    }
    server = ServerProcess(
        *fill_in_secrets(Settings.model_validate(overrides), Path(folder) / "dev-secrets.json")
    )
    await server.start()
    gc_tuning.freeze_startup_objects()
    print(server.address.rpartition(":")[2], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
