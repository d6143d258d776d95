"""Storage errors, and their mapping from PyMongo failures."""

from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidOperation,
    PyMongoError,
)

from core.errors import NotFound, QLiveError, StateConflict, Unavailable


class UserNotFound(NotFound):
    code, detail = "no_such_user", "There is no such user."


class GiftNotFound(NotFound):
    code, detail = "no_such_gift", "There is no such gift."


class BlockNotFound(NotFound):
    code, detail = "no_such_block", "There is no such recharge block."


class OperatorNotFound(NotFound):
    code, detail = "no_such_operator", "There is no such operator."


class ApprovalNotFound(NotFound):
    code, detail = "no_such_approval", "There is no such request."


class OrderNotFound(NotFound):
    code, detail = "no_such_order", "The user has no such order."


class RefundCaseNotFound(NotFound):
    code, detail = "no_such_refund", "There is no such refund case."


class WebhookNotFound(NotFound):
    code, detail = "no_such_webhook", "There is no such webhook or delivery."


class RateRequired(StateConflict):
    code = "rate_required"
    detail = "A rate has exactly one row, of which only the value and the remark change."


class NothingWaits(StateConflict):
    code = "nothing_waits"
    detail = "No change waits: it has taken effect, or was withdrawn."


class OrderInRefund(StateConflict):
    code, detail = "order_in_refund", "Another refund case that is not closed has this order."


class AlreadyDecided(StateConflict):
    code, detail = "decided", "The request has been decided, or has expired."


class TooManyBlocks(StateConflict):
    code, detail = "too_many_blocks", "You have blocked too many users; unblock one first."


class TooManyFollows(StateConflict):
    code, detail = "too_many_follows", "You follow too many users; stop following one first."


class TooManyWebhooks(StateConflict):
    code, detail = "too_many_webhooks", "There are too many webhooks; delete one first."


class OperatorExists(StateConflict):
    code, detail = "operator_exists", "An operator of this name exists already."


class NoLongerAdmin(StateConflict):
    code, detail = "no_longer_admin", "You are no longer an active admin; nothing was changed."


class StorageUnavailable(Unavailable):
    code, detail = "storage_away", "The database is unavailable; try again later."


def storage_error(error: BaseException) -> QLiveError | None:
    """Return the client-facing error for a PyMongo failure; None for a bug."""
    if isinstance(error, ConnectionFailure):
        return StorageUnavailable()
    if isinstance(error, ConfigurationError) and "Sessions" in str(error):
        return StorageUnavailable()  # a mongod that is still starting does not support them yet
    if isinstance(error, InvalidOperation) and "after close" in str(error):
        return StorageUnavailable()  # the drain has ended before the request
    if isinstance(error, PyMongoError) and (
        error.timeout or error.has_error_label("RetryableWriteError")
    ):
        return StorageUnavailable()
    return None
