"""Operators' endpoint for the audit log."""

from handlers.base import endpoint
from handlers.ops.base import PAGE_SIZE, OperatorHandler
from handlers.schemas import ops_requests, ops_responses


class OpsAuditHandler(OperatorHandler):
    """Audit log of operators' changes, newest first.

    `q` is one or more words: user or room ids, addresses, actions, words of the reason or of the
    request. An entry has all of them; a word may be the start of a longer one.
    """

    @endpoint()
    async def get(self, params: ops_requests.AuditSearchRequest) -> ops_responses.AuditPageResponse:
        rows = await self.context.stores.audit.page(
            params.after or None, PAGE_SIZE, search=params.q, changes=params.changes
        )
        cursor = rows[-1]["id"] if len(rows) == PAGE_SIZE else None
        return ops_responses.AuditPageResponse(
            items=[ops_responses.AuditEntryResponse.model_validate(row) for row in rows],
            next=cursor,
        )
