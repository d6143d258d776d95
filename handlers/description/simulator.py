"""The simulator's own calls, which a laptop needs to try the others: a phone that logs in, pays."""

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from handlers.description.examples import FROM_ANSWERS

TAG = "simulator"


class PhoneLogin(BaseModel):
    """The same name is the same person; the demo's are hongniang1, hongniang2, 建国, 秀英, …"""

    name: str = Field(min_length=1, max_length=64, pattern=r"\S")
    gender: Literal[0, 1, 2] = 0


class FromWechat(BaseModel):
    """Exactly what POST qlive_user/ takes, and POST qlive_user/login/; the code works once."""

    appId: str  # noqa: N815 - the contract's own name
    code: str
    encryptedData: str  # noqa: N815
    iv: str


class PhonePay(BaseModel):
    """`content` of the answer of POST qlive_pay/."""

    content: str
    outcome: Literal["success", "cancel"] = "success"


class Paid(BaseModel):
    """`order` is its number; `why` only says why it has failed."""

    outcome: Literal["success", "cancel", "failed"]
    order: str | None
    why: str = ""


class Wrong(BaseModel):
    detail: str


class Played(NamedTuple):
    """One call of the simulator's: always POST, always JSON."""

    path: str
    name: str
    summary: str
    asks: Any
    answers: Any
    example: dict[str, Any]


PLAYED = [
    Played(
        "/sim/phone/login",
        "sim.phone.login",
        "What a phone gets from WeChat: the first step to a token.",
        PhoneLogin,
        FromWechat,
        {"name": "hongniang1", "gender": 2},
    ),
    Played(
        "/sim/phone/pay",
        "sim.phone.pay",
        "The phone pays an order of POST qlive_pay/; the gold arrives at once.",
        PhonePay,
        Paid,
        {"content": FROM_ANSWERS["content"], "outcome": "success"},
    ),
]
