"""Errors raised by use cases, with their codes."""

from core.errors import InvalidParameter, PermissionDenied, QLiveError, StateConflict, Unavailable


class AccountBanned(PermissionDenied):
    code, detail = "banned", "This account has been banned."


class Blocked(PermissionDenied):
    """One of two users has blocked the other, no matter which."""

    code, detail = "blocked", "This is not possible between you and this user."


class HighRisk(PermissionDenied):
    """WeChat rates the user as risky, who may only watch."""

    code, detail = "high_risk", "You can watch, but neither go on mic nor give gifts."


class AgeUnverified(PermissionDenied):
    code, detail = "age_unverified", "Only users whose age is verified may recharge and give gifts."


class ContentRefused(InvalidParameter):
    """A check or an operator has refused this name or picture."""

    code, detail = "content_refused", "This is not allowed here; choose another one."

    def __init__(self, field: str) -> None:
        super().__init__({field: ContentRefused.detail})
        self.detail = ContentRefused.detail


class SecondPersonRequired(PermissionDenied):
    code, detail = "second_person", "Another operator has to confirm this request."


class RequesterNotAllowed(StateConflict):
    code = "requester_not_allowed"
    detail = "Its operator is disabled or has lost the role for it: decline the request."


class NotRefundable(StateConflict):
    code, detail = "not_refundable", "The order was never paid, or is refunded already."


class RefundChanged(StateConflict):
    code = "refund_changed"
    detail = "The user or the orders have changed: look at the new preview, then confirm again."


class TooManyOrders(StateConflict):
    code = "too_many_orders"
    detail = "You have several unpaid orders; pay one of them, or wait until they expire."


class UploadMissing(StateConflict):
    code, detail = "upload_missing", "Upload the picture first, with a new ticket."


class UploadRefused(StateConflict):
    code, detail = "upload_refused", "The upload is not a picture of the type and size allowed."


class UploadsOff(StateConflict):
    code, detail = "uploads_off", "Pictures cannot be uploaded here."


class WithdrawOff(StateConflict):
    code, detail = "withdraw_off", "Withdrawals are not available at the moment."


class SessionKeyMissing(QLiveError):
    """No usable WeChat session key of this user is stored."""

    code, detail = "log_in_again", "Call wx.login and log in again, then repeat the request."


class NotAuthenticated(QLiveError):
    code, detail = "token", "Please log in."


class LoginRefused(QLiveError):
    code, detail = "ops_login", "The name, the password or the code is wrong."


class OperatorLocked(PermissionDenied):
    code = "ops_locked"
    detail = "Too many wrong codes: an admin has to reset your account."


class OwnAccount(PermissionDenied):
    code, detail = "own_account", "Another admin has to change your account."


class FirstLoginRequired(StateConflict):
    code, detail = "first_login", "Set a password and a second factor first."


class RateMissing(Unavailable):
    """EXCHANGE_RATE is missing or disabled, so no gift can be given."""

    code, detail = "rate_missing", "Gifts cannot be given at the moment; try again later."
