"""The folder of the embedded MongoDB: who holds it, and which port its mongod had last."""

import fcntl
from contextlib import suppress
from pathlib import Path
from typing import IO

from storage.mongod_binary import MongodFailed


def port_in(data_dir: Path) -> int | None:
    """The port that the mongod of these data had last."""
    try:
        return int((data_dir / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def own(data_dir: Path) -> IO[str]:
    """Holds the folder for as long as the file is open, which the kernel ends with the process."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        held = (data_dir / "owner.lock").open("w")
    except OSError as failure:
        raise MongodFailed(
            f"{data_dir} cannot be written ({failure.strerror}): "
            "make it writable, or set mongodb.data_dir."
        ) from failure
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise MongodFailed(
            f"Another server runs on {data_dir}: stop it, or set mongodb.data_dir."
        ) from None
    return held


def locked(lock: Path) -> bool:
    """Whether a living mongod holds its lock file; a file left over by a dead one is no matter."""
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
