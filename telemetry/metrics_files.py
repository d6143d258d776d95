"""The metrics of a supervisor's workers, in one folder: a file per worker and one for the ended.

Each worker writes a snapshot every second and before it answers a scrape; the answer adds up the
files. A counter therefore never falls, whichever worker answers: every file's counters only rise,
and what the kill of a worker loses, at most a second, was in no earlier answer. The supervisor adds
the file of a worker that has ended to its own and deletes it: the folder does not grow.
"""

import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from telemetry.snapshot import Part, Snapshot, decode, encode, merge, render

PREFIX, SUFFIX, ENDED = "qlive-metrics-", ".worker", "ended"
LEFT_SECONDS = 3600.0
"""Age of the last write in a folder whose processes were all killed: they write every second."""
REMEMBERED = 256
"""Names of ended workers that are kept for readers that have just read their files."""


class WorkerMetricsFile:
    """The file of one worker, `FOLDER/SLOT-NUMBER.worker`; numbers rise with each start."""

    def __init__(self, path: Path) -> None:
        self._path, self._folder = path, path.parent
        self.server = path.parent.name
        """Identifies the supervisor."""

    @property
    def slot(self) -> int:
        """The worker's slot in its supervisor."""
        return int(_slot(self._path.name))

    def write(self, snapshot: Snapshot) -> None:
        """Replace the file at once: a reader, or a kill, meets the old or the new one."""
        _write(self._path, encode(snapshot))

    def text(self) -> bytes:
        """Prometheus text of all workers as last written. Reads files; call it in a thread."""
        paths = sorted(self._folder.glob(f"*{SUFFIX}"), key=_number)
        parts = {path.name: snapshot for path in paths if (snapshot := _read(path)) is not None}
        # Last: a file that was added meanwhile is in its list, and is not counted twice.
        ended, added = _read_ended(self._folder / ENDED)
        live = [
            Part(_slot(name), snapshot, answers=name == self._path.name)
            for name, snapshot in parts.items()
            if name not in added
        ]
        return render(merge([*live, Part("", ended)]))

    def remove(self) -> None:
        """Delete the file, for a supervisor that is gone, and with the last one the folder."""
        self._path.unlink(missing_ok=True)
        if not any(self._folder.glob(f"*{SUFFIX}")):
            _remove(self._folder)


class EndedMetricsFile:
    """The supervisor's file: counters of ended workers, and metrics of its own."""

    def __init__(self, parent: Path) -> None:
        """`write` creates a folder of its own in `parent`."""
        self._folder = parent / f"{PREFIX}{secrets.token_hex(8)}"
        self._started = 0
        self._total: Snapshot = {}
        self._added: list[str] = []
        self._to_delete: list[Path] = []
        """Added to `_total`, which is not written yet."""

    def next_worker(self, slot: int) -> Path:
        """The path for a worker that is being started."""
        self._started += 1
        return self._folder / f"{slot}-{self._started}{SUFFIX}"

    def add_ended(self, path: Path, own: Snapshot) -> None:
        """Add the counters of a worker whose process has ended, and delete its file.

        Raises OSError if the sum cannot be written; the next `write` then deletes the file.
        """
        if (snapshot := _read(path)) is not None:
            counters = {name: it for name, it in snapshot.items() if it.kind != "gauge"}
            self._total = merge([Part("", self._total), Part("", counters)])
            self._added = [*self._added[1 - REMEMBERED :], path.name]
        self._to_delete += [path, path.with_suffix(".tmp")]
        self.write(own)

    def write(self, own: Snapshot) -> None:
        """`own`: the supervisor's metrics. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        _write(self._folder / ENDED, encode({**self._total, **own}, added=self._added))
        while self._to_delete:
            self._to_delete[-1].unlink(missing_ok=True)
            self._to_delete.pop()

    def remove(self) -> None:
        """Delete the folder, when all workers have ended."""
        _remove(self._folder)


def remove_left_folders(parent: Path) -> None:
    """Delete the folders of supervisors that were killed together with all their workers."""
    newest = time.time() - LEFT_SECONDS
    for folder in parent.glob(PREFIX + "*"):
        with suppress(OSError):  # deleted meanwhile, or another user's
            if all(it.stat().st_mtime < newest for it in (folder, *folder.iterdir())):
                _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(OSError):  # another process of a lost supervisor may do the same
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()


def _slot(name: str) -> str:
    return name.partition("-")[0]


def _number(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def _write(path: Path, data: bytes) -> None:
    new = path.with_suffix(".tmp")
    new.write_bytes(data)
    new.replace(path)


def _read(path: Path) -> Snapshot | None:
    """None if it does not exist: its worker has written nothing yet, or has ended."""
    try:
        return decode(path.read_bytes())[0]
    except FileNotFoundError:
        return None


def _read_ended(path: Path) -> tuple[Snapshot, Iterable[str]]:
    snapshot, fields = decode(path.read_bytes())
    return snapshot, fields["added"]
