"""Changes that wait for one room, decided one after the other on one loaded room."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from core.errors import QLiveError, TryAgain
from rooms.room import Room

T = TypeVar("T")
R = TypeVar("R")
C = TypeVar("C")


@dataclass(frozen=True, slots=True, eq=False)
class Preparation(Generic[R, C]):
    """What the rules of one kind need besides the room, and write besides it.

    `read` is called once for a batch, with the requests of all its changes of this kind, after the
    room has been loaded; each of their rules receives its result. `write` adds to the room's
    transaction (see storage/write_batch.py), if one of these rules has added an event.
    """

    read: Callable[[Sequence[R]], Awaitable[C]]
    write: Callable[[Any, C], None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Change(Generic[R, C, T]):
    """One caller's change of a room."""

    rule: Callable[[Room, C], T]
    """Refuses with a QLiveError, leaving the room as it was, or changes the room."""
    user_ids: tuple[str, ...]
    """Users whose memberships the rule reads."""
    preparation: Preparation[R, C] | None = None
    request: R | None = None
    alone: bool = False
    """Not to be batched with others: the change begins a new live session."""


class Outcome(NamedTuple):
    """What a rule returned, or the error for its caller."""

    result: Any = None
    error: Exception | None = None

    def get(self) -> Any:
        if self.error:
            raise self.error
        return self.result


class Unprepared(NamedTuple):
    """Stands in for a context that could not be read; its changes fail with `error`."""

    error: Exception


class Failed(NamedTuple):
    """A change that left the room in no valid state."""

    change: Change[Any, Any, Any]
    error: Exception


def decide(
    room: Room,
    changes: Iterable[Change[Any, Any, Any]],
    contexts: Mapping[Preparation[Any, Any], Any],
) -> tuple[dict[Change[Any, Any, Any], Outcome], set[Preparation[Any, Any]]] | Failed:
    """Apply the rules in order; returns the outcomes, and the preparations with something to write.

    A refusal leaves the room as it was. After any other error the room may be half changed: the
    caller decides again on a new one, without the change that failed.
    """
    outcomes: dict[Change[Any, Any, Any], Outcome] = {}
    writing: set[Preparation[Any, Any]] = set()
    for change in changes:
        before = len(room.events)
        context = contexts[change.preparation] if change.preparation else None
        if isinstance(context, Unprepared):
            outcomes[change] = Outcome(error=context.error)
            continue
        try:
            outcomes[change] = Outcome(change.rule(room, context))
        except QLiveError as refusal:
            outcomes[change] = Outcome(error=refusal)
            continue
        except Exception as error:  # noqa: BLE001 - raised to its own caller
            return Failed(change, error)
        if room.split:  # the user entered another room meanwhile: a retry would not help
            return Failed(change, TryAgain())
        if change.preparation and len(room.events) > before:
            writing.add(change.preparation)
    return outcomes, writing


def groups(changes: Iterable[Change[Any, Any, Any]]) -> Iterable[list[Change[Any, Any, Any]]]:
    """The changes in order, in groups that may be decided together."""
    group: list[Change[Any, Any, Any]] = []
    for change in changes:
        if group and (change.alone or group[-1].alone):
            yield group
            group = []
        group.append(change)
    if group:
        yield group
