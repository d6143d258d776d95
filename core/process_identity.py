"""Identifies a process of this machine, so that others there can find out whether it has ended."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NAMESPACES = ("pid", "time")
"""Namespaces in which process ids and start times are counted; containers may have their own."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """`host`: one boot of one machine, and its namespaces.

    A process id is unique there only together with `started` (clock ticks).
    """

    host: str
    pid: int
    started: int

    @classmethod
    def own(cls) -> Self | None:
        """This process; None on systems without /proc."""
        try:
            pid = os.getpid()
            return cls(_host(), pid, _state_and_start(pid)[1])
        except OSError:
            return None

    def has_ended(self, observer: "ProcessIdentity") -> bool:
        """Whether this process is known to have ended; False if the observer cannot tell."""
        if self.host != observer.host:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # a process of another user
        try:
            state, started = _state_and_start(self.pid)
        except OSError:
            return False  # it has just ended, or is hidden from other users
        return state in "XZ" or started != self.started


def _host() -> str:
    """A boot of a machine and the namespaces of this process: never the same for two."""
    own = [Path("/proc/self/ns", name) for name in NAMESPACES]
    return " ".join([_boot_id(), *(str(path.readlink()) for path in own if path.is_symlink())])


def _boot_id() -> str:
    """The kernel's id of this boot; from the environment in a unit that may not read the file."""
    try:
        return BOOT_ID.read_text().strip().replace("-", "")
    except OSError:
        if boot_id := os.environ.get("BOOT_ID"):
            return boot_id
        raise


def _state_and_start(pid: int) -> tuple[str, int]:
    """State (R, S, Z …) and start time from /proc; the name before them may contain anything."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])
