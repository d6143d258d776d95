"""What the operators' API is sent and answers."""

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetPydanticSchema,
    StringConstraints,
    WithJsonSchema,
)

from handlers.answers import Answer
from handlers.asks import Ask, Gender, Number, UserId, Whole
from handlers.description.frames import readable
from rooms.people import Role
from rooms.snapshot import Snapshot

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


class Person(Answer):
    """Times here are UTC, RFC 3339."""

    id: str
    nickname: str
    gender: Gender | int
    age: int
    area: str
    face_url: str
    gold: int
    income: int
    owed: int
    is_matchmaker: bool
    banned: bool
    ban_reason: str
    continuous_time: int
    create_time: datetime
    last_login_time: datetime | None


class People(Answer):
    items: list[Person]
    next: str | None


class Granted(Answer):
    gold: int
    income: int


class RoomRow(Answer):
    id: int
    epoch: str
    seq: int
    started_at: int
    room: Annotated[
        dict[str, Any], GetPydanticSchema(lambda _dict, schema_of: schema_of(readable(Snapshot)))
    ]
    """What the socket's snapshot shows."""


class RoomLook(Ask):
    """`since`: what has happened after that number of that life (`epoch`), as a look before
    answered them."""

    since: Annotated[Whole, Field(ge=0, le=2**53)] | None = None
    epoch: Annotated[str, StringConstraints(max_length=64)] = ""


class Happening(Answer):
    """A numbered event of the room as its sockets were told it; `ts` in ms."""

    seq: int
    ts: int
    type: str
    data: dict[str, Any]


class KeptOut(Answer):
    """`until` in ms."""

    user_id: str
    nickname: str
    face_url: str
    until: int


class RoomInside(RoomRow):
    put_out: list[KeptOut]
    events: list[Happening]
    """Those after `since`, in order; the latest when it names none or they are not kept so long."""


class Inmate(Answer):
    """Somebody in a room; since `away_at` (ms) their phone is not connected."""

    user_id: str
    nickname: str
    face_url: str
    gender: int
    role: Role
    entered_at: int
    away_at: int | None


class Inside(Answer):
    items: list[Inmate]
    next: str | None


class RoomRows(Answer):
    items: list[RoomRow]
    next: None = None


class Gift(Answer):
    id: int
    name: str
    gold: int
    image: str
    effect: str


class Gifts(Answer):
    items: list[Gift]
    next: None = None


class Block(Answer):
    id: Number
    gold: int
    price: str


class Blocks(Answer):
    items: list[Block]
    next: None = None


class Config(Answer):
    id: int
    key: str
    value: Any
    enabled: bool
    remark: str


class Configs(Answer):
    items: list[Config]
    next: None = None


class AuditEntry(Answer):
    """`done` is false for what was refused or cut short."""

    id: str
    at: datetime
    who: str
    what: str
    on: str
    reason: str
    asked: Any
    done: bool


class AuditPage(Answer):
    items: list[AuditEntry]
    next: str | None


# ---- money


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


class Order(Answer):
    """`fen` of money for `gold`; `refunded` is the fen that were given back."""

    id: Annotated[str, Field(validation_alias="_id")]
    user_id: str
    provider: str
    product: str
    fen: int
    gold: int
    state: str
    sandbox: bool
    transaction: str = ""
    refused: str = ""
    """Why what was paid for it was not believed."""
    refunded: int = 0
    asked: int
    created_at: datetime
    paid_at: datetime | None = None
    closed_at: datetime | None = None


class Orders(Answer):
    items: list[Order]
    next: str | None


class Line(Answer):
    account: str
    unit: str
    amount: int


class Entry(Answer):
    id: Annotated[str, Field(validation_alias="_id")]
    kind: str
    at: datetime
    by: str
    lines: list[Line]
    content: dict[str, Any]
    answer: dict[str, Any]
    note: str
    live_id: int | None = None
    epoch: str | None = None
    seq: int | None = None


class Ledger(Answer):
    items: list[Entry]
    next: str | None


class Reversed(Answer):
    reverses: str


class Report(Answer):
    """`genuine` is false for what nobody could prove; `times` counts repetitions."""

    id: Annotated[str, Field(validation_alias="_id")]
    source: str
    query: str
    raw: str
    genuine: bool
    outcome: str
    reason: str
    times: int
    received_at: datetime


class InboxPage(Answer):
    items: list[Report]
    next: str | None


class Outcome(Answer):
    outcome: str
    reason: str
