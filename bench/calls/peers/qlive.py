"""The whole server of ours, one process, with its log on."""

import asyncio
import sys
from pathlib import Path

import uvloop

import garbage
import logs
from devsecrets import fill
from server import Server
from settings import Settings


async def main(uri: str, database: str, folder: str) -> None:
    logs.set_up("info", as_json=True)
    wanted = {"server": {"port": 0}, "mongodb": {"uri": uri, "database": database}}
    server = Server(*fill(Settings.model_validate(wanted), Path(folder) / "dev-secrets.json"))
    await server.start()
    garbage.settle()
    print(server.address.rpartition(":")[2], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
