"""Node, with which the SDK is tested."""

import asyncio
import functools
import os
import shutil
import subprocess
from pathlib import Path

import playwright

OLDEST_NODE = 20


@functools.cache
def find_node() -> Path:
    """The machine's node if it is new enough, otherwise the one that drives Playwright."""
    found = shutil.which("node")
    if found:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if int(said.stdout.removeprefix("v").split(".")[0]) >= OLDEST_NODE:
            return Path(found)
    return Path(playwright.__file__).parent / "driver" / "node"


async def run(*arguments: str | Path, **environment: str) -> str:
    """What node says, which must be content."""
    # Node 20 and 21 have a WebSocket only when told so; later ones take the word, too.
    told = {"NODE_OPTIONS": "--experimental-websocket", "NODE_NO_WARNINGS": "1"}
    child = await asyncio.create_subprocess_exec(
        find_node(),
        *arguments,
        env=os.environ | told | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said = (await child.communicate())[0].decode()
    finally:
        if child.returncode is None:
            child.kill()
    assert child.returncode == 0, said
    return said
