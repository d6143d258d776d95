"""A transfer of money to a user's WeChat balance, as WeChat Pay states it.

Source: WeChat Pay v3, merchant transfer (商家转账), form of 2025.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class TransferState(StrEnum):
    """States of a transfer at WeChat Pay, in its spelling."""

    ACCEPTED = "ACCEPTED"
    PROCESSING = "PROCESSING"
    WAIT_USER_CONFIRM = "WAIT_USER_CONFIRM"
    TRANSFERING = "TRANSFERING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"
    CANCELING = "CANCELING"
    CANCELLED = "CANCELLED"


FINAL_STATES = frozenset({TransferState.SUCCESS, TransferState.FAIL, TransferState.CANCELLED})


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """A transfer to send: `number` is its out_bill_no, digits and letters, for ever the same."""

    number: str
    app_id: str
    openid: str
    fen: int
    real_name: str = ""
    """WeChat checks it against the user's; needed from REAL_NAME_FEN, "" sends none."""


class TransferBody(NamedTuple):
    """The request of a transfer as it is sent, the first time and again."""

    text: str
    serial: str = ""
    """Names the key that encrypted the real name; "" without a name, or if it was not stored."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer as WeChat Pay describes it in a verified answer or notification.

    A field that the message does not have is None or empty.
    """

    number: str
    state: TransferState
    wechat_number: str = ""
    """transfer_bill_no."""
    fen: int | None = None
    openid: str | None = None
    package: str = ""
    """package_info for wx.requestMerchantTransfer; only the answer to the first request has it."""
    fail_reason: str = ""
    app_id: str | None = None


REAL_NAME_FEN = 200_000
"""From here on WeChat Pay requires the payee's real name; here, from this sum of a user's day."""
MIN_NAMED_FEN = 30
"""Below, WeChat Pay takes no real name."""
