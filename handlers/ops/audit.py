"""Operators' endpoints for the audit log."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from handlers.base import endpoint
from handlers.ops.base import (
    BYTE_ORDER_MARK,
    PAGE_SIZE,
    CsvFileResponse,
    OperatorHandler,
    cell,
    csv_lines,
)
from handlers.schemas import ops_requests, ops_responses
from handlers.schemas.responses import Page
from storage.database import Document

EXPORT_PAGE, MAX_EXPORT_PAGES = 100, 1_000
"""Entries that an export has in memory at a time, and how often it reads them."""
EXPORT_SECONDS = 300.0
"""Then the connection is closed: a client that reads no further must not hold the request."""
CSV_FIELDS = (
    *("id", "at", "who", "role", "address", "what", "on", "reason"),
    *("asked", "before", "after", "done"),
)


class AuditSearchHandler(OperatorHandler):
    """Base of the endpoints that search the audit log.

    Entries of withdrawals and refund cases are only for the role finance.
    """

    async def find(
        self, params: ops_requests.AuditSearchRequest, after: str, limit: int
    ) -> tuple[list[Document], str | None]:
        """Entries after the cursor, and the next cursor; None at the end."""
        rows = await self.context.stores.audit.page(
            after or None,
            limit,
            search=params.q,
            what=params.what,
            money_out=self.operator.may("finance"),
        )
        return rows, rows[-1]["id"] if len(rows) == limit else None


class OpsAuditHandler(AuditSearchHandler):
    """Audit log of operators' changes, newest first.

    `q` is one or more words: user or room ids, names, addresses, actions, words of the reason or of
    the request. An entry has all of them; a word may be the start of a longer one.
    """

    @endpoint()
    async def get(
        self, params: ops_requests.AuditSearchRequest
    ) -> Page[ops_responses.AuditEntryResponse]:
        rows, cursor = await self.find(params, params.after, PAGE_SIZE)
        return Page[ops_responses.AuditEntryResponse].of(rows, cursor)


class OpsAuditCsvHandler(AuditSearchHandler):
    """Audit log as a CSV file, newest first, with the parameters of the audit log.

    UTF-8 with a byte order mark. `'` precedes a cell that a spreadsheet program could take for a
    formula. After 100,000 entries the last line says `more` and the `after` of the next file. A
    connection that closes early means that the file is incomplete.
    """

    _deadline: asyncio.TimerHandle | None = None

    @endpoint()
    async def get(self, params: ops_requests.AuditSearchRequest) -> CsvFileResponse:
        self._deadline = asyncio.get_running_loop().call_later(EXPORT_SECONDS, self._abort)
        rows, cursor = await self.find(params, params.after, EXPORT_PAGE)
        self.set_header("Content-Type", CsvFileResponse.media_type)
        self.set_header("Content-Disposition", 'attachment; filename="audit.csv"')
        await self._send(BYTE_ORDER_MARK + csv_lines([CSV_FIELDS]) + entry_lines(rows))
        pages = 1
        while cursor and pages < MAX_EXPORT_PAGES:
            rows, cursor = await self.find(params, cursor, EXPORT_PAGE)
            await self._send(entry_lines(rows))
            pages += 1
        return CsvFileResponse(text=csv_lines([("more", f"after={cursor}")] if cursor else ()))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Close the connection of a file that has begun, so that it does not look complete."""
        if not self._headers_written:
            super().send_error(status_code, **kwargs)
            return
        self._abort()
        if not self._finished:
            self.finish()

    def on_finish(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        super().on_finish()

    async def _send(self, text: str) -> None:
        """Returns when the client has room for more."""
        self.write(text)
        await self.flush()

    def _abort(self) -> None:
        connection: Any = self.request.connection
        connection.stream.close()


def entry_lines(entries: Iterable[Mapping[str, Any]]) -> str:
    """A line for each entry."""
    return csv_lines([cell(entry[name]) for name in CSV_FIELDS] for entry in entries)
