"""Rate limits of requests, per user and per address, in this process."""

import time
from collections import Counter
from typing import Literal, get_args

import structlog

from config.sections import LimitsSettings
from core.limits import ConcurrencyLimits, Rate, TokenBuckets
from telemetry.metrics import Metrics

UserLimit = Literal["read", "room_change", "profile", "order", "gift", "like"]
AddressLimit = Literal["login", "ops_login"]
"""Limits for requests without a user; the setting is that of the address itself."""
LimitClass = Literal[UserLimit, AddressLimit]
"""What an endpoint counts as; each is a setting under `limits`."""
Bucket = Literal["user", "address"]
"""What has a bucket: a user, or an address."""

ADDRESS_FACTOR = 50
"""How many users' buckets one address holds: the phones of a network or a carrier share one."""
REFUSED_CALLBACKS = Rate(0.2, 5)
"""Forged callbacks of one address that are stored. A callback signed with a new key, which we do
not have yet, is among the first of its address."""
TURNS_OF_ERROR = 5
"""Turns that a request costs in addition if it is answered with a client's error. Floods, guessed
ids, gifts without gold and made-up codes consist of those; a user's phone meets them seldom."""
CONCURRENT_REQUESTS = 2
"""Requests of a user in progress; further ones wait until one of them is answered."""
PATIENCE_SECONDS = 5.0
"""Longest wait of a request for its turn: that of 25 requests at the default pace. Further ones are
refused, and counted as the class `pace`."""
LOG_SECONDS = 10.0
"""Least interval between two log lines about refused requests of one class."""
log = structlog.get_logger("qlive.http")


class RequestLimits:
    """Token buckets of users and addresses, by limit class."""

    def __init__(self, settings: LimitsSettings, metrics: Metrics) -> None:
        rates: dict[LimitClass, Rate] = {
            name: getattr(settings, name)
            for name in (*get_args(UserLimit), *get_args(AddressLimit))
        }
        self._users = {name: TokenBuckets(rates[name]) for name in get_args(UserLimit)}
        self._addresses = {
            name: TokenBuckets(
                rate if name in get_args(AddressLimit) else rate.times(ADDRESS_FACTOR)
            )
            for name, rate in rates.items()
        }
        self._paces: dict[Bucket, TokenBuckets] = {
            by: TokenBuckets(settings.pace) for by in get_args(Bucket)
        }
        self._names = TokenBuckets(settings.ops_login)
        self.in_progress = ConcurrencyLimits(CONCURRENT_REQUESTS)
        """Requests of a user."""
        self._metrics = metrics
        self._next_log_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()

    def is_on(self, limit: LimitClass) -> bool:
        return self._addresses[limit].is_on

    def take_from_user(self, limit: LimitClass, user_id: str) -> float:
        """Take a token; if there is none, count and log that, and return the seconds until one."""
        now = time.monotonic()
        if seconds := self._users[limit].take(user_id, now):
            self._refused(limit, now, "user", user_id)
        return seconds

    def take_turn(self, by: Bucket, key: str) -> float:
        """Seconds until the turn of a request of a user or an address that come too fast.

        Above PATIENCE_SECONDS too many wait already: that is counted, and the request has no turn.
        """
        now = time.monotonic()
        seconds = self._paces[by].take(key, now, PATIENCE_SECONDS)
        if seconds > PATIENCE_SECONDS:
            self._refused("pace", now, by, key)
        return seconds

    def take_from_address(self, limit: LimitClass, address: str) -> float:
        """Same as `take_from_user`, for the address."""
        now = time.monotonic()
        if seconds := self._addresses[limit].take(address, now):
            self._refused(limit, now, "address", address)
        return seconds

    def take_login(self, address: str, name: str) -> float:
        """Take a token of `ops_login` from the address and from the operator's name, or none."""
        if seconds := self.take_from_address("ops_login", address):
            return seconds
        now = time.monotonic()
        if seconds := self._names.take(name, now):
            self.give_back("ops_login", address)
            self._refused("ops_login", now, "name", name)
        return seconds

    def give_login_back(self, address: str, name: str) -> None:
        """Return the tokens of a login that succeeded."""
        self.give_back("ops_login", address)
        self._names.give_back(name)

    def charge_error(self, by: Bucket, key: str) -> None:
        """Take the turns of a request that was answered with a client's error."""
        self._paces[by].charge(key, TURNS_OF_ERROR, time.monotonic(), PATIENCE_SECONDS)

    def give_back(self, limit: LimitClass, address: str) -> None:
        """Return the token of a request that was refused for its user.

        A phone that floods must not use up the bucket of those that share its address.
        """
        self._addresses[limit].give_back(address)

    def _refused(
        self,
        limit: LimitClass | Literal["pace"],
        now: float,
        by: Bucket | Literal["name"],
        key: str,
    ) -> None:
        self._metrics.requests_limited.labels(limit, by).inc()
        self._unlogged[limit] += 1
        if now >= self._next_log_at.get(limit, now):
            who = {"user_id" if by == "user" else by: key}
            log.warning(
                "requests_limited", limit=limit, by=by, refused=self._unlogged[limit], **who
            )
            self._unlogged[limit], self._next_log_at[limit] = 0, now + LOG_SECONDS
