"""What the operators' API answers."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, GetPydanticSchema

from handlers.answers import Answer
from handlers.asks import Gender, Number
from handlers.description.frames import readable
from rooms.people import Role
from rooms.snapshot import Snapshot


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
