"""The closing codes: the number says whether to come back.

4000-4499 and everything unknown (1001, 1006, 1012): reconnect with since. 4500-4999: do not.
"""

from enum import IntEnum


class Code(IntEnum):
    RESTART = 4000
    SLOW = 4001
    SILENT = 4003
    TOO_FAST = 4029
    TOKEN = 4401
    """Expired, missing or logged out: log in, then resume."""
    BAD_FRAMES = 4500
    PUT_OUT = 4503
    """Put out or banned, also when they come back."""
    NOT_A_MEMBER = 4504
    """Not one, or no longer, or no such room."""
    REPLACED = 4509
    ENDED = 4510

    @property
    def reconnect(self) -> bool:
        return self < 4500

    @property
    def reason(self) -> str:
        return self.name.lower()
