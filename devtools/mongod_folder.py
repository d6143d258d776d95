"""Data directory of the embedded MongoDB: ownership locks and the last port."""

import fcntl
from contextlib import suppress
from pathlib import Path
from typing import IO

from devtools.mongod_binary import MongodStartFailed


def last_port(data_dir: Path) -> int | None:
    """Last port of the mongod on this data directory; None if unknown."""
    try:
        return int((data_dir / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def lock_data_dir(data_dir: Path) -> IO[str]:
    """Locks the data directory while the returned file is open.

    The kernel releases the lock when the process ends. Raises MongodStartFailed if the directory
    is not writable or another server has locked it.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock_file = (data_dir / "owner.lock").open("w")
    except OSError as failure:
        raise MongodStartFailed(
            f"{data_dir} cannot be written ({failure.strerror}): "
            "make it writable, or set mongodb.data_dir."
        ) from failure
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.close()
        raise MongodStartFailed(
            f"Another server runs on {data_dir}: stop it, or set mongodb.data_dir."
        ) from None
    return lock_file


def is_locked(lock: Path) -> bool:
    """Whether a running mongod holds its lock file; leftover files do not count."""
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
