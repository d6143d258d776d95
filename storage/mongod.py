"""The embedded MongoDB: a mongod that lives and dies with this process."""

import asyncio
import os
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import IO

import structlog
from pymongo.errors import PyMongoError

from storage.mongod_binary import ELSEWHERE, MongodFailed, find_binary, why_it_ended
from storage.mongod_folder import locked, own, port_in
from storage.replica import NAME, become_primary, running_uri, uri_of

__all__ = ["Mongod", "MongodFailed", "running_uri"]

log = structlog.get_logger()

POLL_SECONDS = 0.02
RELEASE_SECONDS = 15.0  # a mongod that closes its files takes 1 s, with much to write a few more
READY_SECONDS = 60.0  # 0.3 s as a rule; up to 31 s when another program has taken the port
STOP_SECONDS = 10.0
# A transaction whose client was killed holds what it wrote until it is given up, after 60 s unless
# told otherwise; ours take milliseconds.
TRANSACTION_SECONDS = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0

# Becomes mongod after asking Linux to kill it when its parent's thread ends (1 is
# PR_SET_PDEATHSIG), so that even `kill -9` of the server leaves no orphan. KILL and not TERM: a
# mongod that hangs must go, too, and the journal holds whatever was acknowledged. A program of its
# own and not preexec_fn, which can deadlock in a process with threads. The parent may have gone
# before the kernel was asked, hence the second look. Other systems have no such call: their mongod
# outlives a server that was killed, and the next start says so.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
failed = sys.platform == "linux" and ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if failed or os.getppid() != int(sys.argv[1]):
    sys.exit("the server ended before its mongod began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Mongod:
    """One mongod on `data_dir`; start it on the main thread, whose end it does not survive."""

    def __init__(self, data_dir: Path, binary: Path | None = None) -> None:
        self.port = 0
        self._data_dir = data_dir.resolve()
        self._log = self._data_dir / "mongod.log"
        self._binary = binary
        self._process: Process | None = None
        self._ownership: IO[str] | None = None

    async def start(self) -> str:
        """Returns the uri once writes are taken; raises MongodFailed, leaving nothing running."""
        self._binary = self._binary or find_binary()
        self._ownership = own(self._data_dir)
        try:
            await self._wait_for_release()
            self.port = self._choose_port()
            await self._run()
        except BaseException:
            await self.stop()
            raise
        (self._data_dir / "port").write_text(f"{self.port}\n")
        return uri_of(self.port)

    async def watch(self) -> None:
        """Starts a mongod that dies again, on the same port. Cancel it before `stop`."""
        pause = FIRST_PAUSE
        while process := self._process:
            began = time.monotonic()
            status = await process.wait()
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            log.error("mongod_died", exit_status=status, again_in_seconds=pause)
            await asyncio.sleep(pause)
            if self._process is not process:  # stopped meanwhile
                return
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                await self._run()
                log.info("mongod_back", port=self.port)
            except MongodFailed as failure:
                log.error("mongod_not_back", why=str(failure))

    async def stop(self) -> None:
        """Lets mongod close its files (1 s) and gives the data free. Repeating it is harmless."""
        process, self._process = self._process, None
        if process:
            await _end(process)
        if self._ownership:
            self._ownership.close()
            self._ownership = None

    def _choose_port(self) -> int:
        last = port_in(self._data_dir)
        port = _free_port(last)
        if last and port != last:
            log.warning("mongod_port_taken", last=last, now=port, note="may take half a minute")
        return port

    async def _run(self) -> None:
        with self._log.open("ab") as output:
            written = output.tell()
            self._process = process = await self._spawn(output)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._listening(process)
                await become_primary(self.port)
        except TimeoutError as failure:
            await _end(process)
            raise MongodFailed(
                f"mongod did not get ready in {READY_SECONDS} s: see {self._log}, or {ELSEWHERE}."
            ) from failure
        except (PyMongoError, ConnectionError) as failure:
            await _end(process)
            raise MongodFailed(self._why(process, written)) from failure

    async def _spawn(self, output: IO[bytes]) -> Process:
        wrapper = (sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()))
        # A session of its own: Ctrl-C in the terminal reaches the server, which drains first.
        return await asyncio.create_subprocess_exec(
            *(*wrapper, str(self._binary), *self._options()),
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,
        )

    def _options(self) -> tuple[str, ...]:
        """The journal is on by default; the cache is the smallest MongoDB allows."""
        return (
            *("--replSet", NAME, "--bind_ip", "127.0.0.1", "--port", str(self.port)),
            *("--dbpath", str(self._data_dir), "--wiredTigerCacheSizeGB", "0.25"),
            *("--oplogSize", "256", "--nounixsocket", "--quiet"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}"),
            *("--logpath", str(self._log), "--logappend"),
        )

    async def _listening(self, process: Process) -> None:
        while process.returncode is None:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return await writer.wait_closed()
            await asyncio.sleep(POLL_SECONDS)
        raise ConnectionError("mongod ended before it listened")

    def _why(self, process: Process, written: int) -> str:
        with self._log.open("rb") as output:
            output.seek(written)
            said = output.read().decode(errors="replace")
        return why_it_ended(said, process.returncode or 0, self._log)

    async def _wait_for_release(self) -> None:
        """A mongod whose server was killed is dying, and holds its files until it is gone."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                while locked(self._data_dir / "mongod.lock"):
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise MongodFailed(
                f"Another mongod holds {self._data_dir}: stop it, or set mongodb.data_dir."
            ) from None


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port(preferred: int | None) -> int:
    """The preferred port when nobody listens there, otherwise one that the kernel picks."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred or 0))
        except (OSError, OverflowError):
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
