"""Rate limits of requests, in this process: one bucket of tokens for each user or address.

A request with a valid token counts for its user alone, in the class of the call. Any other request
counts for its address alone, which thousands of phones may share.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import structlog

from core.errors import RateLimited
from core.limits import Rate, TokenBuckets
from telemetry.metrics import Metrics

UserLimit = Literal[
    "read",
    "room_change",
    "ticket",
    "profile",
    "upload",
    "order",
    "gift",
    "like",
    "report",
    "verify",
]
"""Classes of requests with a valid token."""
AddressLimit = Literal["anonymous", "ops_login", "handshake"]
"""Classes of requests without one; `anonymous` is any that is neither a login nor a handshake."""
Rates = Mapping[UserLimit | AddressLimit, Rate]
LimitClass = Literal[UserLimit, AddressLimit, "login"]
"""`login`: those of an address in progress; one phone could use up a rate with made-up codes."""
By = Literal["user", "address", "name"]
"""Kind of owner of a bucket; `name`: an operator's name at one address."""

RATES: Rates = {
    # A phone starts with 10 requests, and polls slowly.
    "read": Rate(2, 20),
    # So low that five users cannot fill a room's log of 256 events in a minute.
    "room_change": Rate(0.3, 10),
    # One friend after another, or a room's three. A link or a code is a request to WeChat.
    "ticket": Rate(0.2, 10),
    # New names are events of the room, too. A form sends one request, or one per field.
    "profile": Rate(0.05, 5),
    # Each may leave 5 MB in the bucket for two months: 13 GB of one user.
    "upload": Rate(0.0005, 10),
    # Each is a request to WeChat Pay. A buyer takes longer to type the password.
    "order": Rate(0.1, 5),
    # Fingers tap five times a second, for some seconds. Each is a transaction.
    "gift": Rate(3, 15),
    # One after another through a page of users. Each is a write.
    "like": Rate(1, 10),
    # Each may leave 100 KB of evidence until an operator decides it: 5 MB of one user a day.
    "report": Rate(0.0005, 5),
    # Each costs a fee at Tencent Cloud.
    "verify": Rate(0.0005, 5),
    # Wrong or missing tokens, forged callbacks and unknown paths.
    "anonymous": Rate(1, 5),
    # Failed logins with one operator's name.
    "ops_login": Rate(0.2, 10),
    # Phones of an address that return at once, as many as nginx passes: 0.2 ms of CPU each.
    "handshake": Rate(200, 200),
}
"""Tokens a second, which `limits.factor` multiplies, and tokens at once, for each class."""
MAX_LOGINS = 80
"""Logins of an address in progress, of 100 connections to WeChat: others find one free."""
ADDRESS_FACTOR = 50
"""An address may send as much as this many users: the phones of a network share an address."""
OPERATORS_AT_ADDRESS = 5
"""An address may try as many logins as this many operators. Each check takes 0.2 s of CPU."""
PER_ADDRESS = {"anonymous": ADDRESS_FACTOR, "ops_login": OPERATORS_AT_ADDRESS}
"""Factors of the classes whose rate is that of one user or operator."""
MAX_IN_PROGRESS = 20
"""Requests of a user in progress: twice as many as a phone sends when it starts."""
LOG_SECONDS = 10.0
"""Minimum interval between two log lines about refused requests of one class."""
log = structlog.get_logger("qlive.http")


def rate_of(limit: UserLimit | AddressLimit, rates: Rates = RATES) -> Rate:
    """Return the rate of a user or an address."""
    return rates[limit].times(PER_ADDRESS.get(limit, 1))


class RequestLimits:
    """Token buckets, and the numbers of users' requests and addresses' logins in progress."""

    def __init__(
        self, factor: float, metrics: Metrics, rates: Rates = RATES, logins: int = MAX_LOGINS
    ) -> None:
        """Multiply the tokens a second of all rates by `factor`; 0 switches every limit off."""
        self._buckets: dict[LimitClass, TokenBuckets] = {
            name: TokenBuckets(rate_of(name, rates).faster(factor)) for name in rates
        }
        self._names = TokenBuckets(rates["ops_login"].faster(factor))
        self._logins = logins if factor else 0
        self._in_progress: Counter[str] = Counter()
        self._metrics = metrics
        self._next_log_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()

    def take(self, limit: LimitClass, by: By, key: str) -> float:
        """Take a token; without one, count and log that, and return the seconds until the next.

        The `key` of an address is that of `limit_key`.
        """
        buckets = self._names if by == "name" else self._buckets[limit]
        seconds = buckets.take(key, time.monotonic())
        if seconds:
            self._refused(limit, by, key)
        return seconds

    def begin(self, limit: LimitClass, user_id: str) -> None:
        """Count a request of the user until `end`. Raises RateLimited if it is one too many."""
        _refuse_for(self.take(limit, "user", user_id))
        if self._in_progress[user_id] >= MAX_IN_PROGRESS and self._buckets[limit].is_on:
            self._refused("in_progress", "user", user_id)
            _refuse_for(1)
        self._in_progress[user_id] += 1

    def begin_login(self, address: str) -> None:
        """Count as `begin`, for a login at an address."""
        if self._in_progress[address] >= self._logins > 0:
            self._refused("login", "address", address)
            _refuse_for(1)
        self._in_progress[address] += 1

    def end(self, owner: str) -> None:
        """Release what `begin` or `begin_login` has counted for a user or an address."""
        self._in_progress[owner] -= 1
        if not self._in_progress[owner]:
            del self._in_progress[owner]

    def count_address(self, limit: LimitClass, address: str) -> None:
        """Take a token of an address. Raises RateLimited without one."""
        _refuse_for(self.take(limit, "address", address))

    def count_operator_login(self, name: str, address: str) -> None:
        """Take a token of the name at this address, and one of the address.

        Wrong passwords from elsewhere do not lock an operator out, and those for one name use up a
        fifth of the address's tokens. Raises RateLimited without a token.
        """
        _refuse_for(self.take("ops_login", "name", f"{name} {address}"))
        self.count_address("ops_login", address)

    def give_operator_login_back(self, name: str, address: str) -> None:
        """Return the tokens of a login that succeeded."""
        self._buckets["ops_login"].give_back(address)
        self._names.give_back(f"{name} {address}")

    def _refused(self, limit: LimitClass | Literal["in_progress"], by: By, key: str) -> None:
        self._metrics.refused.requests.labels(limit, by).inc()
        self._unlogged[limit] += 1
        now = time.monotonic()
        if now >= self._next_log_at.get(limit, now):
            # Without an operator's name: people type their password into that field.
            who = {"user_id" if by == "user" else "address": key.rpartition(" ")[2]}
            log.warning(
                "requests_limited", limit=limit, by=by, refused=self._unlogged[limit], **who
            )
            self._unlogged[limit], self._next_log_at[limit] = 0, now + LOG_SECONDS


def _refuse_for(seconds: float) -> None:
    """Check that `seconds` until a token is 0. Raises RateLimited if it is not."""
    if seconds:
        raise RateLimited(retry_after=math.ceil(seconds))
