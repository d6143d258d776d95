"""One request's way through the limits: its tokens, its turn, and what a refusal costs."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable

from core.errors import QLiveError, RateLimited
from core.limits import RefusalDelay
from handlers.errors import status_of
from handlers.limits import PATIENCE_SECONDS, Bucket, LimitClass, RequestLimits

JITTER_SECONDS = 0.1
"""Longest random addition to the wait for a turn."""


class Admission:
    """Admits one request by its address and its user, in this order."""

    def __init__(self, limits: RequestLimits, delay: RefusalDelay) -> None:
        self.is_over_limit = False
        """Whether the request was refused for its rate."""
        self.waited_seconds = 0.0
        """How long the request waited for others of its user."""
        self._limits = limits
        self._delay = delay
        self._class: LimitClass | None = None
        """Of the method in progress, if that limit is on."""
        self._address = self._user_id = ""
        self._held: str | None = None
        """The user or address among whose refusals that of this request waits."""
        self._payer: tuple[Bucket, str] | None = None
        """Who pays for an error."""
        self._has_slot = False
        """Whether this is one of the user's requests in progress."""

    def limit_address(self, limit: LimitClass, address: str) -> None:
        """Take a token from the bucket of `remote.limit_key`; RateLimited when there is none."""
        if not self._limits.is_on(limit):
            return
        self._class, self._address = limit, address
        self.raise_if_limited(self._limits.take_from_address(limit, address))

    async def wait_for_address(self) -> None:
        """Wait for the turn of a request without a user among those of its address."""
        if self._class:
            self._payer = "address", self._address
            if seconds := self._take_turn(self._class, "address", self._address):
                await _wait_for_turn(seconds)

    async def limit_user(self, user_id: str) -> bool:
        """Take a token from the user's bucket, and wait for the request's turn among the user's.

        Returns whether it had to wait: what was read of the user before may have changed.
        RateLimited when there is no token, or when too many wait.
        """
        if not self._class:
            return False
        self._payer, self._user_id = ("user", user_id), user_id
        if seconds := self._limits.take_from_user(self._class, user_id):
            self._limits.give_back(self._class, self._address)
            self.raise_if_limited(seconds)
        if turn := self._take_turn(self._class, "user", user_id):
            await self._timed(_wait_for_turn(turn))
        if is_late := not self._limits.in_progress.take(user_id):
            await self._timed(self._limits.in_progress.wait(user_id))
        self._has_slot = True
        return turn > 0 or is_late

    def raise_if_limited(self, seconds: float, address: str = "") -> None:
        """Raise RateLimited unless `seconds` until a token is 0.

        `address`: of a request that `limit_address` has not seen.
        """
        if seconds:
            self.is_over_limit = True
            self.hold_refusal(address or self._user_id or self._address)
            raise RateLimited(retry_after=math.ceil(seconds))

    def hold_refusal(self, key: str) -> None:
        """Let the refusal of this request by `slow_down` wait, among those of a user or address."""
        self._held = key

    async def slow_down(self, error: QLiveError, *, hold: bool = True) -> None:
        """Charge a client's error, and hold a refusal back unless the process is draining.

        An address pays for refused logins only: what exceeds its limit comes from many phones.
        """
        if self._payer and status_of(type(error)) < 500:
            self._limits.charge_error(*self._payer)
            if self._payer[0] == "address":
                self.hold_refusal(self._address)
        if hold and self._held is not None:
            await self._delay.hold(self._held)

    def release(self) -> None:
        """The request is answered."""
        if self._has_slot:
            self._has_slot = False
            self._limits.in_progress.release(self._user_id)

    def _take_turn(self, limit: LimitClass, by: Bucket, key: str) -> float:
        """Seconds to wait; RateLimited when too many of the user or the address wait already."""
        seconds = self._limits.take_turn(by, key)
        if seconds > PATIENCE_SECONDS:
            self._limits.give_back(limit, self._address)
            self._payer = None  # the request took no turn
            self.raise_if_limited(seconds - PATIENCE_SECONDS)
        return seconds

    async def _timed(self, wait: Awaitable[None]) -> None:
        started = time.monotonic()
        try:
            await wait
        finally:
            self.waited_seconds += time.monotonic() - started


async def _wait_for_turn(seconds: float) -> None:
    """The turns of floods that began together would otherwise come together."""
    await asyncio.sleep(seconds + random.uniform(0, JITTER_SECONDS))
