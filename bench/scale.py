"""How long and how large the runs are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a whole run; QUICK only shows that every part works."""

    runs: int = 5
    seconds: float = 1.5
    """Length of a run of requests."""
    warm_up_seconds: float = 1.0
    message_seconds: float = 6.0
    """Length of a run of messages, whose rate is fixed."""
    sockets: tuple[int, ...] = (1_000, 10_000)
    """Sockets of the room that events are sent to."""
    opened: int = 4_000
    """Sockets that are opened, in 100 rooms."""
    clients: int = 10_000
    """Clients of a killed server."""
    storms: int = 2


QUICK = Scale(1, 1.0, 0.5, 1.0, (100,), 200, 300, 1)
