"""Numbered changes of stored data, from schema 1, that of release 1.0.0."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from storage.database import Database


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from schema `number - 1` to schema `number`.

    `apply` returns the number of documents that it has changed. It may be killed anywhere and
    repeated, also by two processes at once, and runs while older servers serve: it changes only
    what it finds in the old form, in commands that take less than OPERATION_MS each
    (storage/database.py).
    """

    number: int
    name: str
    apply: Callable[[Database], Awaitable[int]]
    oldest: int
    """The lowest schema whose servers can run on the database afterwards."""


MIGRATIONS: tuple[Migration, ...] = ()
"""In order; the first has number 2."""
SCHEMA = 1 + len(MIGRATIONS)
"""The schema that this server reads and writes."""
