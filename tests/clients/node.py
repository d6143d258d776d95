"""Node, with which the SDK is tested."""

import asyncio
import os
import shutil
from pathlib import Path

OLDEST_NODE = 20


async def run(*arguments: str | Path, **environment: str) -> str:
    """What node says, which must be content."""
    node = shutil.which("node")
    assert node, f"The SDK's tests need node {OLDEST_NODE} or newer on the PATH; there is none."
    # Node 20 and 21 have a WebSocket only when told so; later ones take the word, too.
    told = {"NODE_OPTIONS": "--experimental-websocket", "NODE_NO_WARNINGS": "1"}
    child = await asyncio.create_subprocess_exec(
        node,
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
