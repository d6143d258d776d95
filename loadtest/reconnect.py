"""The rule by which a client reconnects to a room; its numbers are those of the SDK.

Standard library only, because Locust runs it in an environment of its own.
"""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent.parent / "clients" / "miniprogram" / "src" / "reconnect.js"
MINUTE_MS = 60_000.0
MAX_DOUBLINGS = 10
TEXT = TABLE.read_text()
RULE: dict[str, Any] = json.loads(TEXT[TEXT.index("= {") + 2 : TEXT.rindex("}") + 1])
"""The object literal of the SDK's module, which is written as JSON."""


def is_final(code: int) -> bool:
    """Return whether a client with this token does not reconnect after the close code."""
    return code == RULE["token_code"] or RULE["final_from"] <= code <= RULE["final_to"]


class Reconnects:
    """Delays between the attempts of one client, as in the SDK's socket.js and backoff.js."""

    def __init__(self, random: Callable[[], float]) -> None:
        """`random` returns numbers between 0 and 1."""
        self._random = random
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=RULE["attempts_per_minute"])

    def attempt(self, now_ms: float) -> None:
        """Record that the client connects now."""
        self._attempts.append(now_ms)

    def delay_ms(self, now_ms: float, live_ms: float, retry_ms: float = 0) -> float:
        """Return the delay of the next attempt after a connection that was live for `live_ms`.

        `retry_ms` is the server's, or 0. It applies alone after the first failure, because the
        server has spread its clients over time with it.
        """
        if live_ms >= RULE["stable_ms"]:
            self._failures = 0
        bound = min(RULE["max_ms"], RULE["base_ms"] * 2 ** min(self._failures, MAX_DOUBLINGS))
        backoff = 0.0 if retry_ms > 0 and self._failures == 0 else self._random() * bound
        self._failures += 1
        delay: float = max(RULE["min_ms"], retry_ms, backoff)
        if len(self._attempts) == self._attempts.maxlen:
            delay = max(delay, self._attempts[0] + MINUTE_MS - now_ms)
        return delay
