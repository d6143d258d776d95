"""`make bench`: what things cost, as ratios within one run.

Each figure is the median of several runs, taken in turn so that a drift of the machine meets all
sides; a ratio is taken run by run.
"""

import asyncio
import os
import platform
import shutil
import tempfile
from pathlib import Path

from bench import changes, gifts, gifts_over_http, relay
from storage.mongod import Mongod


async def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    folder = Path(tempfile.mkdtemp(prefix="qlive-bench-"))
    mongod = Mongod(folder / "mongo")
    try:
        uri = await mongod.start()
        await changes.run(uri)
        await gifts.run(uri)
        await gifts_over_http.run(uri, folder)
        await relay.run(uri, folder)
    finally:
        await mongod.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    asyncio.run(main())
