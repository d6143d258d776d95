"""What the relay needs of others: rooms, their log, a store for its cursors, and IM itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from rooms.events import Numbered
from tencent.relay_words import Priority


class Turn(Protocol):
    """One room that we have claimed, see storage/relays.py."""

    @property
    def live_id(self) -> int: ...
    @property
    def epoch(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def since(self) -> datetime: ...
    @property
    def num_due(self) -> bool: ...
    @property
    def num_at(self) -> datetime: ...
    @property
    def tries(self) -> int: ...
    @property
    def woken(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Group:
    """A room as those who listen on IM have to know it.

    `on_mic`: everybody on a guest's seat, with what a micro_accept says of them.
    """

    group_id: str
    host_id: str
    epoch: str
    version: int
    live: bool
    num_list: Sequence[int]
    on_mic: Sequence[Mapping[str, Any]] = ()


Look = Callable[[int], Awaitable[Group | None]]
"""The room of a live_id as it is; None when there is none."""


class Store(Protocol):
    """Where it is kept how far each room has been relayed: storage/relays.py says how. Each call
    is atomic, and may raise when the database is away."""

    async def wake(self, live_id: int, now: datetime, *, num: bool) -> None: ...

    async def claim(self, now: datetime, until: datetime) -> Turn | None: ...

    async def moved(
        self, turn: Any, epoch: str, seq: int, until: datetime, *, over: bool
    ) -> bool: ...

    async def rest(
        self, turn: Any, now: datetime, num_at: datetime, due_at: datetime | None, *, num_due: bool
    ) -> None: ...

    async def later(self, turn: Any, at: datetime) -> None: ...

    async def cursors(self) -> dict[int, tuple[str, int]]: ...


class Past(Protocol):
    async def log_since(self, live_id: int, epoch: str, seq: int) -> list[Numbered] | None:
        """All events of this life after `seq`, in order; None when they are no longer there."""

    async def versions(self, live_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
        """(epoch, version) of these rooms."""


class Messages(Protocol):
    async def send_group_msg(
        self, group_id: str, text: str, random: int, priority: Priority
    ) -> None: ...

    async def send_text(self, to: str, text: str, random: int, seconds: int) -> None: ...
