"""Embedded MongoDB: a mongod that ends with the process that started it; others may join it."""

import asyncio
import fcntl
import os
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import IO

import structlog

from devtools.mongod_binary import OWN_MONGODB_HINT, MongodStartFailed, explain_exit, find_binary
from storage.replica_set import NAME, become_primary, serves, uri_of

__all__ = ["EmbeddedMongod", "MongodStartFailed", "uri_of_running"]

log = structlog.get_logger()

LOCK = "owner.lock"
"""Locked by the process that started mongod; holds the address of its server, "" of a command."""
POLL_SECONDS = 0.02
RELEASE_SECONDS = 15.0  # mongod closes its files in 1 s, or a few more after many writes
READY_SECONDS = 60.0  # usually 0.3 s; up to 31 s when another program has taken the port
STOP_SECONDS = 10.0
OWNER_POLL_SECONDS = 0.5
# A transaction whose client was killed blocks its documents until mongod aborts it, after 60 to
# 90 s by default; ours take milliseconds.
TRANSACTION_SECONDS = 5
FIRST_RESTART_DELAY, MAX_RESTART_DELAY = 0.2, 30.0

# Executes mongod after asking Linux to kill it when its parent thread ends (1 is PR_SET_PDEATHSIG),
# so that even `kill -9` of the server leaves no orphan. SIGKILL instead of SIGTERM: a mongod that
# hangs must end too, and the journal holds every acknowledged write. A separate program instead of
# preexec_fn, which can deadlock in a process with threads. The parent may have ended before prctl,
# hence the check of getppid. Other systems have no prctl: there mongod outlives a killed server,
# and the next start fails with a message.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
failed = sys.platform == "linux" and ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if failed or os.getppid() != int(sys.argv[1]):
    sys.exit("the server ended before its mongod began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedMongod:
    """The mongod on `data_dir`: that of this process, or of another one that runs already.

    `address` is that of the server which starts it, "" of a command. Start it on the main thread:
    on Linux it is killed when the thread that started it ends.
    """

    def __init__(self, data_dir: Path, binary: Path | None = None, address: str = "") -> None:
        self.port = 0
        self.joined = ""
        """Address of the server whose mongod this is; "" if this process, or a command, owns it."""
        self._address = address
        self._data_dir = data_dir.resolve()
        self._log = self._data_dir / "mongod.log"
        self._binary = binary
        self._process: Process | None = None
        self._ownership: IO[str] | None = None

    async def start(self) -> str:
        """Starts or joins mongod, and returns its URI once it accepts writes.

        Raises MongodStartFailed, leaving nothing running.
        """
        if uri := await self._lock_or_join():
            return uri
        try:
            self._binary = self._binary or find_binary()
            await self._wait_for_release()
            self.port = self._choose_port()
            await self._run()
        except BaseException:
            await self.stop()
            raise
        (self._data_dir / "port").write_text(f"{self.port}\n")
        return uri_of(self.port)

    async def _lock_or_join(self) -> str:
        """The URI of the mongod of another process; "" once this one owns the data directory."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not (ownership := lock_data_dir(self._data_dir, self._address)):
                    if uri := await self._join():
                        return uri
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as failure:
            raise MongodStartFailed(
                f"Another process uses {self._data_dir}, and its mongod does not answer:"
                " stop it, or set mongodb.data_dir."
            ) from failure
        self._ownership = ownership
        return ""

    async def _join(self) -> str:
        """The URI of the mongod of another process; "" if it is not ready, or that of a command.

        A server does not join the mongod of a command, which ends in a moment.
        """
        owner = (self._data_dir / LOCK).read_text()
        if self._address and not owner:
            return ""
        if not await asyncio.to_thread(uri_of_running, self._data_dir):
            return ""
        self.port, self.joined = last_port(self._data_dir) or 0, owner
        with suppress(ConnectionError):  # it has just ended
            await become_primary(self.port)
            return uri_of(self.port)
        return ""

    async def watch(self) -> None:
        """Restarts a mongod that dies, on the same port, with backoff. Cancel before `stop`.

        Of a joined one it only reports that its owner has ended.
        """
        if not self._process:
            await self._watch_owner()
        delay = FIRST_RESTART_DELAY
        while process := self._process:
            started_at = time.monotonic()
            status = await process.wait()
            if time.monotonic() - started_at > MAX_RESTART_DELAY:
                delay = FIRST_RESTART_DELAY
            log.error("mongod_exited", exit_status=status, again_in_seconds=delay)
            await asyncio.sleep(delay)
            if self._process is not process:  # stopped in the meantime
                return
            delay = min(2 * delay, MAX_RESTART_DELAY)
            try:
                await self._run()
                log.info("mongod_restarted", port=self.port)
            except MongodStartFailed as error:
                log.error("mongod_restart_failed", why=str(error))

    async def _watch_owner(self) -> None:
        while is_locked(self._data_dir / LOCK):
            await asyncio.sleep(OWNER_POLL_SECONDS)
        note = "MongoDB has ended with the server that had started it; start that one again."
        log.error("mongod_owner_ended", owner=self.joined, note=note)

    async def stop(self) -> None:
        """Lets mongod close its files (1 s) and releases the data directory. Idempotent."""
        process, self._process = self._process, None
        if process:
            await _terminate(process)
        if self._ownership:
            self._ownership.close()
            self._ownership = None

    def _choose_port(self) -> int:
        last = last_port(self._data_dir)
        port = _free_port(last)
        if last and port != last:
            log.warning("mongod_port_taken", last=last, now=port, note="may take half a minute")
        return port

    async def _run(self) -> None:
        with self._log.open("ab") as output:
            log_offset = output.tell()
            self._process = process = await self._spawn(output)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._wait_until_listening(process)
                await become_primary(self.port)
        except TimeoutError as failure:
            await _terminate(process)
            raise MongodStartFailed(
                f"mongod was not ready within {READY_SECONDS} s: see {self._log},"
                f" or {OWN_MONGODB_HINT}."
            ) from failure
        except ConnectionError as failure:
            await _terminate(process)
            raise MongodStartFailed(self._failure_reason(process, log_offset)) from failure

    async def _spawn(self, output: IO[bytes]) -> Process:
        wrapper = (sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()))
        # In a session of its own, so that Ctrl-C reaches only the server, which drains first.
        return await asyncio.create_subprocess_exec(
            *(*wrapper, str(self._binary), *self._options()),
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,
        )

    def _options(self) -> tuple[str, ...]:
        """Command-line options; the journal is on by default, the cache is MongoDB's minimum."""
        return (
            *("--replSet", NAME, "--bind_ip", "127.0.0.1", "--port", str(self.port)),
            *("--dbpath", str(self._data_dir), "--wiredTigerCacheSizeGB", "0.25"),
            *("--oplogSize", "256", "--nounixsocket", "--quiet"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}"),
            *("--logpath", str(self._log), "--logappend"),
        )

    async def _wait_until_listening(self, process: Process) -> None:
        while process.returncode is None:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return await writer.wait_closed()
            await asyncio.sleep(POLL_SECONDS)
        raise ConnectionError("mongod ended before it listened")

    def _failure_reason(self, process: Process, log_offset: int) -> str:
        with self._log.open("rb") as output:
            output.seek(log_offset)
            text = output.read().decode(errors="replace")
        return explain_exit(text, process.returncode or 0, self._log)

    async def _wait_for_release(self) -> None:
        """Waits for a mongod whose server was killed: it holds its files until it has exited."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                while is_locked(self._data_dir / "mongod.lock"):
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise MongodStartFailed(
                f"Another mongod holds {self._data_dir}: stop it, or set mongodb.data_dir."
            ) from None


async def _terminate(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port(preferred: int | None) -> int:
    """The preferred port if it is free, otherwise one that the kernel picks."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred or 0))
        except (OSError, OverflowError):
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def uri_of_running(data_dir: Path) -> str | None:
    """URI of the embedded MongoDB of a running server, or None.

    Blocks for at most a few seconds.
    """
    port = last_port(data_dir)
    return uri_of(port) if port is not None and serves(port, data_dir) else None


def last_port(data_dir: Path) -> int | None:
    """Last port of the mongod on this data directory; None if unknown."""
    try:
        return int((data_dir / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def lock_data_dir(data_dir: Path, owner: str) -> IO[str] | None:
    """Locks the data directory while the returned file is open; None if another process owns it.

    `owner` is the address of the locking server. The kernel releases the lock when the process
    ends. Raises MongodStartFailed if the directory is not writable.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock_file = (data_dir / LOCK).open("a")
    except OSError as failure:
        raise MongodStartFailed(
            f"{data_dir} cannot be written ({failure.strerror}): "
            "make it writable, or set mongodb.data_dir."
        ) from failure
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.close()
        return None
    lock_file.truncate(0)
    lock_file.write(owner)
    lock_file.flush()
    return lock_file


def is_locked(lock: Path) -> bool:
    """Whether a running process holds this lock file; leftover files do not count."""
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
