"""A QLive server in its own process, in the variant that standard input named last.

Prints its port. Answers each line of standard input, the name of a variant or nothing, by the CPU
seconds of the process.
"""

import asyncio
import sys
import time

import uvloop

from bench.calls.peers import qlive
from bench.overhead.variants import Variants
from devtools.no_limits import NO_LIMITS

HIGH = "1000000/1000000"
"""No request reaches this limit."""


async def main(uri: str, database: str, folder: str) -> None:
    server = await qlive.start(uri, database, folder, dict.fromkeys(NO_LIMITS, HIGH))
    variants = Variants(server.context)
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    print(server.address.rpartition(":")[2], flush=True)
    while line := await lines.readline():
        if name := line.decode().strip():
            variants.switch(name)
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
