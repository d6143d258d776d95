"""WebSocket close codes, whose range decides whether the client reconnects.

4000-4499 and all unlisted codes (1001, 1006, 1012): reconnect with `since`. 4500-4999: do not
reconnect.
"""

from enum import IntEnum


class CloseCode(IntEnum):
    RESTART = 4000
    """The server restarts, could not serve the socket, or resets a room after a failure."""
    SLOW = 4001
    """The client reads too slowly: its backlog is too large, or too old."""
    SILENT = 4003
    """Nothing was received from the client for three heartbeats."""
    TOO_FAST = 4029
    """The client sent too many frames in a second, or connects too often."""
    TOKEN = 4401
    """Expired, missing or logged out: log in, then resume."""
    BAD_FRAMES = 4500
    """Several text frames were not valid JSON messages."""
    PUT_OUT = 4503
    """Removed from the room or banned; also the answer to later attempts to connect."""
    NOT_A_MEMBER = 4504
    """Not a member, no longer a member, or no such room."""
    REPLACED = 4509
    """The user opened a newer socket in this room."""
    ENDED = 4510
    """The live session has ended."""

    @property
    def reconnect(self) -> bool:
        return self < 4500

    @property
    def reason(self) -> str:
        return self.name.lower()
