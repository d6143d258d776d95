"""Data directory of the embedded MongoDB: ownership locks and the last port."""

import fcntl
from contextlib import suppress
from pathlib import Path
from typing import IO

from devtools.mongod_binary import MongodStartFailed

LOCK = "owner.lock"
"""Locked by the process that started mongod."""


def last_port(data_dir: Path) -> int | None:
    """Last port of the mongod on this data directory; None if unknown."""
    try:
        return int((data_dir / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def lock_data_dir(data_dir: Path, owner: str) -> IO[str] | None:
    """Locks the data directory while the returned file is open; None if another process owns it.

    `owner` is the address of the locking server, which `owner_of` returns to others. The kernel
    releases the lock when the process ends. Raises MongodStartFailed if the directory is not
    writable.
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


def owner_of(data_dir: Path) -> str:
    """Address of the server that owns the data directory; "" if a command does."""
    return (data_dir / LOCK).read_text()


def is_locked(lock: Path) -> bool:
    """Whether a running process holds this lock file; leftover files do not count."""
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
