"""Requests with which phones, pages and tests control the simulator."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Json

Unverifiable = Literal["forged", "unsigned", "probe", "stale"]
Mismatched = Literal["wrong_amount", "wrong_payer", "wrong_app"]
"""Authentic notifications that do not match the order or the transfer."""
Report = Literal["once", "never", "twice", "late"] | Unverifiable | Mismatched
"""Way in which the server is notified."""


class EmptyRequest(BaseModel):
    """A request without fields."""


class PhoneLoginRequest(BaseModel):
    """The same `name` is the same user; the demo data has hongniang1, hongniang2, 建国, 秀英, …

    `modern` leaves out name, gender and picture, as WeChat does since 2022-11.
    """

    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=64)
    gender: Literal[0, 1, 2] = Field(0, examples=[2])
    face_url: str = ""
    modern: bool = False
    appId: str = ""  # noqa: N815 - the contract's own name


class PrivateMessageRequest(BaseModel):
    """The phone of `name` opens the private message of an activity."""

    name: str
    activity_id: str


class PhonePayRequest(BaseModel):
    """`content` comes from the response of POST qlive_pay/."""

    content: Json[dict[str, Any]]
    outcome: Literal["success", "cancel"] = "success"
    report: Report = "once"


class ChosenTransferRequest(BaseModel):
    """A transfer by its number `bill`, or by the `package_info` of a withdrawal."""

    package: str = ""
    bill: str = ""
    report: Report = "once"


class ConfirmTransferRequest(ChosenTransferRequest):
    """The user's action on WeChat's page. `openid` is the account of the phone.

    `pending` is confirmed, but not paid yet; `reason` is that of a failed transfer.
    """

    openid: str = ""
    outcome: Literal["success", "pending", "failed"] = "success"
    reason: str = "NAME_NOT_CORRECT"


class TransferFaultRequest(BaseModel):
    """Gives the next request about a transfer a fault."""

    fault: Literal["NOT_ENOUGH", "FREQUENCY_LIMITED", "lost", "accepted"]


class NextRefundsRequest(BaseModel):
    """Outcome of the refunds that follow; the first of them gets the fault."""

    outcome: Literal["success", "failed", "held"] = "success"
    report: Report = "once"
    fault: Literal["", "NOT_ENOUGH"] = ""


class EndRefundRequest(BaseModel):
    """Ends the held refund of this number, or has an ended one notified again."""

    refund: str
    outcome: Literal["success", "failed"] = "success"
    report: Report = "once"


class NextBillsRequest(BaseModel):
    """A fault of a source's bills, and columns by our number that differ; null leaves a row out."""

    source: Literal["trade", "fund_basic", "fund_operation", "xpay", "ios"]
    fault: Literal["", "late", "hash", "malformed", "twice"] = ""
    changes: dict[str, dict[str, str] | None] = {}


class PlatformEventRequest(BaseModel):
    """An event that moves no gold, about an order or a user."""

    event: str
    order: str = ""
    openid: str = "oSimulated"
    report: Report = "once"


class NextChecksRequest(BaseModel):
    """Checks that follow are judged as if their content had these words; "" ends that."""

    words: str = ""


class NoticeChoiceRequest(BaseModel):
    """The phone of `name` is asked whether a message of this template may come."""

    name: str
    template_id: str
    choice: Literal["accept", "acceptWithAudio", "reject"] = "accept"
    place: Literal["popup", "change"] = "popup"
    report: Report = "once"


class NextNoticesRequest(BaseModel):
    """What becomes of the messages that follow: an error, a lost answer, or no delivery."""

    errcode: int = 0
    is_lost: bool = False
    is_undelivered: bool = False
    report: Report = "once"


class StreamEventRequest(BaseModel):
    """A report of CSS about a stream; the old form of pictures has no `suggestion`."""

    stream: str
    event: Literal["picture", "sound", "record_start_failed", "record_error"]
    score: int = Field(95, ge=0, le=100)
    suggestion: Literal["Block", "Review", "Pass", ""] = ""
    report: Report = "once"


class SetupRequest(BaseModel):
    """A wrong set-up by its name, to be played until the next; "" for a right one."""

    wrong: str = ""


class OutageRequest(BaseModel):
    """The HTTP status of a service's answers, or their delay; without both, the outage ends."""

    service: Literal["wechat", "im", "pay", "live", "cos", "content", "notices", "faceid"]
    status: int | None = Field(None, ge=400, le=599)
    seconds: float | None = Field(None, ge=0, le=600)
