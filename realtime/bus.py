"""What the processes tell each other; in one process, what the hub tells itself."""

from collections.abc import Callable
from dataclasses import dataclass

from realtime.codes import Code


@dataclass(frozen=True, slots=True)
class Told:
    """One saved event, encoded once. A hint: it may be lost, doubled or late."""

    live_id: int
    epoch: str
    seq: int
    frame: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Stirred:
    """The number of people in a room may have changed."""

    live_id: int


@dataclass(frozen=True, slots=True)
class ShownOut:
    """Somebody's socket is to be closed, in one room or (None) wherever it is."""

    user_id: str
    live_id: int | None
    code: Code


Message = Told | Stirred | ShownOut


class LocalBus:
    """The bus of a single process: whoever listens hears at once, in order."""

    def __init__(self) -> None:
        self._ears: list[Callable[[Message], None]] = []

    def listen(self, hear: Callable[[Message], None]) -> None:
        self._ears.append(hear)

    def publish(self, message: Message) -> None:
        """Never waits, never raises."""
        for hear in self._ears:
            hear(message)
