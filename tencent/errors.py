"""Errors of the WeChat and Tencent clients."""

from enum import StrEnum

from core.errors import PermissionDenied, QLiveError, RateLimited, Unavailable


class UnknownApp(QLiveError):
    code, detail = "unknown_app", "Unknown appId."


class InvalidEncryptedData(QLiveError):
    code = "encrypted_data"
    detail = "The encrypted data does not match this login; call wx.login again."


class InvalidWechatCode(QLiveError):
    code = "wechat_code"
    detail = "This WeChat code is invalid, used or expired; call wx.login again."


class WechatBlocked(PermissionDenied):
    code, detail = "wechat_blocked", "WeChat has blocked this login as risky."


class ServiceUnavailable(Unavailable):
    """`service` (wechat, im, pay, …) gave no usable answer; `why` is for the doctor."""

    def __init__(self, service: str, why: str = "") -> None:
        super().__init__(f"{service} is unavailable; try again later.")
        self.why = why
        self.code = f"{service}_away"


class ImMisconfigured(ServiceUnavailable):
    """IM rejects our key, SDKAppID or administrator until an operator has corrected them.

    A request that needs IM is answered with im_refused instead.
    """

    def __init__(self) -> None:
        super().__init__("im")


class CommandRejected(Exception):
    """Tencent rejected a command permanently: a bug on our side, or a wrong setting.

    The outbox does not try again.
    """

    def __init__(self, code: int | str, info: str) -> None:
        super().__init__(f"{code} {info}")
        self.code = code


class ImRejected(CommandRejected):
    """Tencent IM rejected a command."""


class ImGroupTaken(ImRejected):
    """The id belongs to a group of another owner."""


class ImGroupMissing(ImRejected):
    """IM does not have the group: it was dissolved."""


class MerchantRefused(Exception):
    """WeChat refused a refund, or a call about a transfer, with a code; the answer may be unsigned.

    It does not say that there is no such refund or bill: an earlier request may have been accepted,
    and the bill of a refused one may be kept (NOT_ENOUGH). Only a query shows its state.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class MerchantNotFound(MerchantRefused):
    """WeChat has no such refund or bill, or not yet."""


class Reason(StrEnum):
    """Why an incoming message is refused: a stored word, and a label on /metrics."""

    UNREADABLE = "unreadable"
    STALE = "stale"
    PROBE = "probe"  # WeChat Pay tests that we verify signatures
    SERIAL = "serial"
    SIGN = "sign"
    DECRYPTION = "decryption"
    MERCHANT = "merchant"
    NOT_PAID = "not_paid"
    NOT_FINAL = "not_final"  # a transfer whose result is still open
    NO_KEY = "no_key"
    APP = "app"
    COMMAND = "command"
    PLAIN = "plain"


class NotVerified(Exception):
    """A message not verifiably from WeChat or Tencent, or not for us; `str()` has no secrets."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason


class Unreadable(NotVerified):
    """Not the JSON that the protocol describes."""

    def __init__(self) -> None:
        super().__init__(Reason.UNREADABLE)


CALL_ERRORS = (MerchantRefused, RateLimited, ServiceUnavailable)
"""Errors of a call about a refund or transfer after which only a query shows what became of it."""
