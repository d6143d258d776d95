"""Base of all client-facing errors, and the kinds that all layers share.

Each layer has its own below these, in its errors.py; handlers/errors.py alone knows HTTP status
codes.
"""


class QLiveError(Exception):
    """Client-facing error: stable `code` for programs, `detail` sentence for people."""

    code = "internal"
    detail = "Something went wrong on our side."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail


class InvalidParameter(QLiveError):
    """Invalid request; `fields` maps each rejected parameter to the reason."""

    code = "bad_parameter"

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in fields.items()))
        self.fields = fields


class PermissionDenied(QLiveError):
    code, detail = "not_allowed", "Permission denied."


class NotFound(QLiveError):
    code, detail = "no_such_thing", "Not found."


class StateConflict(QLiveError):
    code, detail = "not_now", "This is not possible at the moment."


class RateLimited(QLiveError):
    """`retry_after` in seconds."""

    code, detail = "too_many", "Too many requests; try again later."

    def __init__(self, detail: str | None = None, *, retry_after: int = 60) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(QLiveError):
    """A dependency is down; `retry_after` in seconds."""

    code = "away"
    detail = "The service is unavailable; try again later."
    retry_after = 2


class TryAgain(Unavailable):
    """Contention or queue timeout; the same request may succeed in a second."""

    code, detail = "try_again", "The server is busy; send the same request again."
    retry_after = 1


class StartupError(Exception):
    """The server cannot start or run; `str()` is one sentence that says what to do."""


class WriteConflict(Exception):
    """Lost an optimistic lock: reload and decide again. Never reaches a client."""
