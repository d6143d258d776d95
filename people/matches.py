"""Pairs: two users who like one another and have had a date are matched."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Pair:
    """Likes between two users, their last date, and their match; times in ms.

    They are matched once, as soon as there are both likes and a date, in any order.
    """

    id: str
    users: tuple[str, str]
    likes: Mapping[str, int] = field(default_factory=dict)
    """When each of them liked the other."""
    live_id: int = 0
    """Room of their last date until the match; 0 if they had none."""
    epoch: str = ""
    matched_at: int = 0
    ended: bool = False
    """Whether the match has ended, or must not be made: new likes change nothing."""
    version: int = 0

    @classmethod
    def of(cls, user_id: str, other_id: str) -> Self:
        """Return the pair of two users who have neither likes nor a date."""
        first, second = sorted((user_id, other_id))
        return cls(f"{first}:{second}", (first, second))

    @property
    def is_matched(self) -> bool:
        return self.matched_at > 0 and not self.ended

    def other(self, user_id: str) -> str:
        first, second = self.users
        return second if user_id == first else first

    def like(self, by: str, now: int) -> Self:
        """Add a like; an earlier one keeps its time."""
        return self._with(now, likes={by: now, **self.likes})

    def unlike(self, by: str) -> Self:
        """Remove a like, which does not end a match."""
        return replace(self, likes={user: at for user, at in self.likes.items() if user != by})

    def meet(self, live_id: int, epoch: str, now: int) -> Self:
        """Note a date; after a match, or its end, dates are not noted."""
        if self.matched_at or self.ended:
            return self
        return self._with(now, live_id=live_id, epoch=epoch)

    def end(self) -> Self:
        return replace(self, ended=True)

    def _with(self, now: int, **changes: Any) -> Self:
        """Return the changed pair, matched if it has both likes and a date, and was not before."""
        after = replace(self, **changes)
        is_complete = bool(after.epoch) and len(after.likes) == len(self.users)
        if is_complete and not (self.matched_at or self.ended):
            return replace(after, matched_at=now)
        return after
