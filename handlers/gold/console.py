"""Operators' endpoints of gifts, configs and the ledger."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from core.errors import NotFound
from handlers.base import endpoint
from handlers.gold.gifts import GiftResponse
from handlers.models import Gold, IdSearchRequest, Page, ReasonRequest, Request, Response
from handlers.operator_base import PAGE_SIZE, ApprovalResponse, NextFieldsResponse, OperatorHandler
from ledger.errors import EntryNotFound, InsufficientGold, NotReversible
from ledger.journal import Kind, reversal_key
from services.operators.approvals import CatalogueKind
from storage.database import Document
from storage.errors import GiftNotFound, NothingWaits, RateRequired
from storage.gold.catalogue import CatalogueStore
from storage.operators.approvals import Approval

Label = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
Remark = Annotated[str, StringConstraints(max_length=200)]
ImageUrl = Annotated[str, StringConstraints(max_length=512, pattern=r"^(https?://\S+)?$")]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,59}$")]


class NewGiftRequest(Request):
    name: Annotated[Label, Field(examples=["满天星"])]
    gold: Gold
    image: ImageUrl = ""
    effect: Annotated[str, StringConstraints(max_length=512)] = ""


# Examples of changes equal the demo's data: executing them there changes nothing.
class GiftChangeRequest(Request):
    name: Annotated[Label, Field(examples=["玫瑰"])] | None = None
    gold: Annotated[Gold, Field(examples=[1])] | None = None
    image: ImageUrl | None = None
    effect: Annotated[str, StringConstraints(max_length=512)] | None = None


class NewConfigRequest(Request):
    key: Key
    value: Annotated[Any, Field(examples=[1])]
    enabled: bool = True
    remark: Remark = ""


class ConfigChangeRequest(Request):
    key: Key | None = None
    value: Any = None
    enabled: bool | None = None
    remark: Annotated[Remark, Field(examples=["a try"])] | None = None


class LedgerSearchRequest(IdSearchRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    kind: Literal["", Kind] = ""


class ReversalRequest(ReasonRequest):
    entry: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ConfigResponse(Response):
    """`next`: the change of a rate that waits; null without one."""

    id: int
    key: str
    value: Any
    enabled: bool
    remark: str
    next: NextFieldsResponse | None = None


class PostingResponse(Response):
    account: str
    unit: str
    amount: int


class EntryResponse(Response):
    id: Annotated[str, Field(validation_alias="_id")]
    kind: str
    at: datetime
    by: str
    lines: list[PostingResponse]
    content: dict[str, Any]
    answer: dict[str, Any]
    note: str
    rate: str = ""
    """Share of a gift's gold that its receiver got as income."""
    live_id: int | None = None
    epoch: str | None = None
    seq: int | None = None


class ReversedResponse(Response):
    reverses: str


class CatalogueHandler(OperatorHandler):
    """Base of the endpoints of a catalogue: gifts, configs or recharge blocks."""

    kind: ClassVar[CatalogueKind]

    @property
    def rows(self) -> CatalogueStore:
        return self.context.services.operators.approvals.catalogues[self.kind]

    async def target_state(self) -> Mapping[str, Any]:
        if not self.path_args:
            return {}
        return await self.rows.find(int(self.path_args[0])) or {}

    async def change(self, number: str | None, fields: Document | None) -> Document | Approval:
        """Add, change or remove a row, as ApprovalService.change_catalogue."""
        answer = await self.context.services.operators.approvals.change_catalogue(
            self.kind, int(number) if number else None, fields, self.operator.name
        )
        if not number and not isinstance(answer, Approval):
            self.created = answer
        return answer

    async def unschedule(self, number: str) -> Document:
        """Drop the change of a row that waits, as CatalogueService.unschedule."""
        catalogue = self.context.services.gold.catalogue
        return await catalogue.unschedule(self.rows, int(number))


class GiftCatalogueHandler(CatalogueHandler):
    kind = "gift"


class OpsGiftsHandler(GiftCatalogueHandler):
    @endpoint()
    async def get(self) -> Page[GiftResponse]:
        """All gifts."""
        return Page[GiftResponse].of(await self.rows.all())

    @endpoint()
    async def post(self, params: NewGiftRequest) -> GiftResponse:
        """Add a gift."""
        return GiftResponse.model_validate(await self.change(None, params.model_dump()))


class OpsGiftHandler(GiftCatalogueHandler):
    @endpoint(errors=[GiftNotFound])
    async def patch(self, number: str, params: GiftChangeRequest) -> GiftResponse:
        """Change a gift."""
        row = await self.change(number, params.model_dump(exclude_none=True))
        return GiftResponse.model_validate(row)

    @endpoint(errors=[GiftNotFound])
    async def delete(self, number: str) -> None:
        """Remove a gift."""
        await self.change(number, None)


class ConfigCatalogueHandler(CatalogueHandler):
    kind = "config"


class OpsConfigsHandler(ConfigCatalogueHandler):
    @endpoint()
    async def get(self) -> Page[ConfigResponse]:
        """All configs, including the exchange rate and the withdrawal rate."""
        return Page[ConfigResponse].of(await self.rows.all())

    @endpoint(errors=[RateRequired])
    async def post(self, params: NewConfigRequest) -> ConfigResponse | ApprovalResponse:
        """Add a config; that of a rate, if it is missing, waits for another operator."""
        return self.unless_waiting(await self.change(None, params.model_dump()), ConfigResponse)


class OpsConfigHandler(ConfigCatalogueHandler):
    @endpoint(errors=[NotFound, RateRequired])
    async def patch(
        self, number: str, params: ConfigChangeRequest
    ) -> ConfigResponse | ApprovalResponse:
        """Change a config; the value of a rate waits for another operator, then for midnight."""
        changes = params.model_dump(exclude_none=True)
        if "value" in params.model_fields_set:  # null is a valid value
            changes["value"] = params.value
        return self.unless_waiting(await self.change(number, changes), ConfigResponse)

    @endpoint(errors=[NotFound, RateRequired])
    async def delete(self, number: str) -> None:
        """Remove a config, but not a rate."""
        await self.change(number, None)


class OpsNextConfigHandler(ConfigCatalogueHandler):
    @endpoint(errors=[NotFound, NothingWaits])
    async def delete(self, number: str) -> ConfigResponse:
        """Withdraw the change of a rate that waits for midnight; refused once it has come."""
        return ConfigResponse.model_validate(await self.unschedule(number))


class OpsLedgerHandler(OperatorHandler):
    """Ledger entries, newest first.

    `q` is a user id, or the start of an entry id or order number. Entries of withdrawals and
    refunds are only for the role finance.
    """

    @endpoint()
    async def get(self, params: LedgerSearchRequest) -> Page[EntryResponse]:
        rows, cursor = await self.context.stores.statements.entries(
            params.user_id,
            params.kind,
            params.after,
            PAGE_SIZE,
            search=params.q,
            money_out=self.operator.may("finance"),
        )
        return Page[EntryResponse].of(rows, cursor)


class OpsReversalHandler(OperatorHandler):
    """Reverse a gift or a grant; idempotent per entry.

    More than `ops.second_person_gold` of one operator in 24 hours waits for another operator.
    """

    async def target_state(self) -> Mapping[str, Any]:
        reversal = reversal_key(str(self.parameters().get("entry")))
        return {"reversed": await self.context.stores.ledger.find(reversal) is not None}

    @endpoint(errors=[EntryNotFound, InsufficientGold, NotReversible])
    async def post(self, params: ReversalRequest) -> ReversedResponse | ApprovalResponse:
        answer = await self.context.services.operators.approvals.reverse(
            params.entry, params.reason, by=self.operator.name
        )
        return self.unless_waiting(answer, ReversedResponse)
