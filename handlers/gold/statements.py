"""Statement of gold and income."""

from handlers.base import ActiveUserHandler, endpoint
from handlers.gold.models import MAX_PAGES, StatementRequest, StatementResponse
from handlers.models import LIST_PAGE_SIZE


class StatementHandler(ActiveUserHandler):
    """Read the entries behind the caller's balance of gold or income, newest first."""

    @endpoint(limit="read")
    async def get(self, params: StatementRequest) -> StatementResponse:
        size, page = LIST_PAGE_SIZE, params.page
        rows = await self.context.stores.statements.page(
            self.user_id, params.unit, (page - 1) * size, size + 1
        )
        has_more = len(rows) > size and page < MAX_PAGES
        return StatementResponse.model_validate(
            {**params.model_dump(), "results": rows[:size], "has_more": has_more}
        )
