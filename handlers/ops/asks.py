"""What the operators' API is sent."""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from handlers.asks import Ask, UserId, Whole

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
ImageUrl = Annotated[str, StringConstraints(max_length=512, pattern=r"^(https?://\S+)?$")]
Gold = Annotated[Whole, Field(ge=0, le=1_000_000_000)]


def _fen(price: Any) -> Any:
    """A yuan string with at most two decimals, as fen."""
    if not isinstance(price, str) or not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,2})?", price):
        raise ValueError("a price is a string of yuan like 6.00")
    return int(Decimal(price) * 100)


_YUAN = {"type": "string", "pattern": r"^(?!0+(\.0+)?$)[0-9]{1,7}(\.[0-9]{1,2})?$"}
Price = Annotated[int, BeforeValidator(_fen), Field(ge=1), WithJsonSchema(_YUAN)]


def _key(text: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,59}", text):
        raise ValueError("a key is upper-case letters, digits and _")
    return text


Key = Annotated[
    str,
    AfterValidator(_key),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Z][A-Z0-9_]{0,59}$"}),
]


def is_rate(value: Any) -> bool:
    """Whether this JSON value is a number from 0 to 1."""
    try:
        return not isinstance(value, bool) and 0 <= Decimal(str(value)) <= 1
    except InvalidOperation:
        return False


class Cursor(Ask):
    after: Annotated[str, StringConstraints(max_length=200)] = ""


class Search(Cursor):
    q: Annotated[str, StringConstraints(max_length=100)] = ""


class PeopleSearch(Search):
    """`owing`: only people who owe gold for a refund."""

    owing: bool = False


class AuditSearch(Search):
    """`changes`: without what was only looked at."""

    changes: bool = False


class UserChange(Ask):
    is_matchmaker: bool | None = None
    banned: Annotated[bool, Field(examples=[False])] | None = None
    ban_reason: Annotated[str, StringConstraints(max_length=500)] | None = None


class Grant(Ask):
    gold: Annotated[Whole, Field(ge=1, le=1_000_000_000)]
    reason: Reason
    request_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Settle(Grant):
    """Gold that somebody owes, paid from what they have or by the house."""

    paid_by: Literal["user", "house"]


class EndLive(Ask):
    reason: Reason


class PutOut(Ask):
    """`minutes` until they may come back."""

    user_id: UserId
    minutes: Annotated[Whole, Field(ge=1, le=1440)] = 60
    reason: Reason


class LetIn(Ask):
    user_id: UserId
    reason: Reason


class NewGift(Ask):
    name: Annotated[Name, Field(examples=["满天星"])]
    gold: Gold
    image: ImageUrl = ""
    effect: Annotated[str, StringConstraints(max_length=512)] = ""


# The examples of changes are what the demo has: to execute them harms nothing there.
class GiftChange(Ask):
    name: Annotated[Name, Field(examples=["玫瑰"])] | None = None
    gold: Annotated[Gold, Field(examples=[1])] | None = None
    image: ImageUrl | None = None
    effect: Annotated[str, StringConstraints(max_length=512)] | None = None


class NewBlock(Ask):
    gold: Annotated[Whole, Field(ge=1, le=1_000_000_000)]
    price: Price


class BlockChange(Ask):
    gold: Annotated[Whole, Field(ge=1, le=1_000_000_000, examples=[60])] | None = None
    price: Price | None = None


class NewConfig(Ask):
    key: Key
    value: Annotated[Any, Field(examples=[1])]
    enabled: bool = True
    remark: Annotated[str, StringConstraints(max_length=200)] = ""


class ConfigChange(Ask):
    key: Key | None = None
    value: Any = None
    enabled: bool | None = None
    remark: Annotated[str, StringConstraints(max_length=200), Field(examples=["a try"])] | None = (
        None
    )


class RoomLook(Ask):
    """`since`: what has happened after that number of that life (`epoch`), as a look before
    answered them."""

    since: Annotated[Whole, Field(ge=0, le=2**53)] | None = None
    epoch: Annotated[str, StringConstraints(max_length=64)] = ""


class NumberSearch(Cursor):
    """`q`: a whole user id, or the start of a number, as long as those of reports are."""

    q: Annotated[str, StringConstraints(max_length=400)] = ""


class OrderSearch(NumberSearch):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    state: Literal["", "created", "paid", "closed"] = ""


class LedgerSearch(NumberSearch):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    kind: Literal["", "recharge", "gift", "grant", "reversal"] = ""


class InboxSearch(NumberSearch):
    source: Literal["", "im", "live", "jsapi", "xpay"] = ""
    outcome: Literal["", "received", "done", "ignored", "refused"] = ""


class Reversal(Ask):
    entry: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    reason: Reason


class Again(Ask):
    id: Annotated[str, StringConstraints(min_length=1, max_length=400)]
