"""Runs Node, with which the SDK is tested; as a program, prints its folder."""

import asyncio
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import playwright

OLDEST_NODE = 20


@functools.cache
def find_node() -> Path:
    """The installed node if it is new enough, otherwise the one of Playwright."""
    found = shutil.which("node")
    if found:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.removeprefix("v").split(".")[0]) >= OLDEST_NODE:
            return Path(found)
    return Path(playwright.__file__).parent / "driver" / "node"


async def run(*arguments: str | Path, **environment: str) -> str:
    """The output of node, which must exit with 0."""
    # Node 20 and 21 need the option for WebSocket; later versions accept it.
    options = {"NODE_OPTIONS": "--experimental-websocket", "NODE_NO_WARNINGS": "1"}
    child = await asyncio.create_subprocess_exec(
        find_node(),
        *arguments,
        env=os.environ | options | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output = (await child.communicate())[0].decode()
    finally:
        if child.returncode is None:
            child.kill()
    assert child.returncode == 0, output
    return output


if __name__ == "__main__":
    sys.stdout.write(f"{find_node().parent}\n")
