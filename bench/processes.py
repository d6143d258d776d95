"""Programs of the benchmark: compiled, started, read from and killed."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 300.0


def compile_c(source: Path, output: Path, *options: str) -> Path:
    command = ["cc", "-O2", *options, "-o", str(output), str(source)]
    subprocess.run(command, check=True)  # noqa: S603 - our own sources
    return output


@contextlib.asynccontextmanager
async def running_process(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process that is killed at the end of the block; `log` gets its standard error."""
    pipe = asyncio.subprocess.PIPE
    with log.open("wb") if log else contextlib.nullcontext() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=errors,
            cwd=cwd,
            env=environment,
            limit=1 << 24,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_line(process: asyncio.subprocess.Process) -> bytes:
    """Read the next line of the process's standard output."""
    assert process.stdout
    async with asyncio.timeout(START_SECONDS):
        return await process.stdout.readline()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
