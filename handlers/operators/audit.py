"""Operators' endpoints for the audit log."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

from pydantic import StringConstraints

from handlers.base import endpoint
from handlers.models import Page, Response, SearchRequest
from handlers.operator_base import PAGE_SIZE, CsvFileResponse, OperatorHandler, csv_file
from services.operators.roles import Access
from storage.database import Document
from storage.operators.audit import MONEY_OUT, WEBHOOK

CSV_FIELDS = (
    *("id", "at", "who", "role", "address", "what", "on", "reason"),
    *("parameters", "before", "after", "done"),
)


class AuditSearchRequest(SearchRequest):
    """`what`: one action, as in the entries."""

    what: Annotated[str, StringConstraints(max_length=100)] = ""


class AuditEntryResponse(Response):
    """`done` is false for requests that were refused or interrupted.

    `before` and `after` have the fields that the change has altered. Long values are cut.
    """

    id: str
    at: datetime
    who: str
    role: str
    address: str
    what: str
    on: str
    reason: str
    parameters: Any
    before: dict[str, Any]
    after: dict[str, Any]
    done: bool


class AuditSearchHandler(OperatorHandler):
    """Base of the endpoints that search the audit log.

    Entries of withdrawals, refund cases, bills and reports of money are only for the role finance,
    those with the addresses of webhooks only for admins.
    """

    async def find(
        self, params: AuditSearchRequest, after: str, limit: int
    ) -> tuple[list[Document], str | None]:
        """Entries after the cursor, and the next cursor; None at the end."""
        roles: dict[str, Access] = {MONEY_OUT: "finance", WEBHOOK: "admin"}
        hidden = [names for names, role in roles.items() if not self.operator.may(role)]
        return await self.context.stores.audit.page(
            after, limit, search=params.q, what=params.what, hidden=hidden
        )


class OpsAuditHandler(AuditSearchHandler):
    """Audit log of operators' changes, newest first.

    `q` is one or more words: user or room ids, names, addresses, actions, words of the reason or of
    the request. An entry has all of them; a word may be the start of a longer one.
    """

    @endpoint()
    async def get(self, params: AuditSearchRequest) -> Page[AuditEntryResponse]:
        rows, cursor = await self.find(params, params.after, PAGE_SIZE)
        return Page[AuditEntryResponse].of(rows, cursor)


class OpsAuditCsvHandler(AuditSearchHandler):
    """Audit log as a CSV file, newest first, with the parameters of the audit log.

    UTF-8 with a byte order mark. `'` precedes a cell that a spreadsheet program could take for a
    formula. After 10,000 entries the last line says `more` and the `after` of the next file.
    """

    @endpoint()
    async def get(self, params: AuditSearchRequest) -> CsvFileResponse:
        self.set_header("Content-Disposition", 'attachment; filename="audit.csv"')
        return await csv_file(CSV_FIELDS, params.after, partial(self.find, params))
