"""A guard against floods of new sockets."""

import time
from collections import Counter


class Handshakes:
    """How many an address has made within this second. Phones share addresses, so this keeps out
    floods and nothing finer."""

    def __init__(self, per_second: int) -> None:
        self._limit = per_second
        self._second = 0
        self._made: Counter[str] = Counter()

    def too_many(self, address: str) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._made.clear()
        self._made[address] += 1
        return bool(self._limit) and self._made[address] > self._limit
