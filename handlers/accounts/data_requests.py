"""Copies of a user's own data, and the user's deletion."""

from typing import Annotated, Any, Literal

from pydantic import Field

from handlers.base import ActiveUserHandler, endpoint
from handlers.models import OkResponse, Request, Response, Time, Whole


class ExportRequest(Request):
    part: Annotated[Whole, Field(ge=1, le=100_000)] = 1


class ExportResponse(Response):
    """`export` has the rows of each section, {} while the copy is being made.

    A section that goes on in the next of the `parts` is continued there.
    """

    status: Literal["success"] = "success"
    state: Literal["building", "ready"]
    made_at: Time | None
    part: int
    parts: int
    export: dict[str, list[dict[str, Any]]]


class DeleteRequest(Request):
    cancel: Annotated[bool, Field(examples=[True])] = False


class DeletionResponse(OkResponse):
    """`delete_at`: when the caller is deleted; null if no deletion is planned."""

    delete_at: Time | None


class ExportHandler(ActiveUserHandler):
    """Read a copy of everything that is stored about the caller, made once a day.

    The first call of a day requests it; repeat the call until the state is `ready`.
    """

    @endpoint(limit="read")
    async def get(self, params: ExportRequest) -> ExportResponse:
        export, rows = await self.context.services.accounts.data_requests.export(
            self.user_id, params.part
        )
        return ExportResponse(
            state="ready" if export.made_at else "building",
            made_at=export.made_at,
            part=params.part,
            parts=export.parts,
            export=rows,
        )


class DeleteHandler(ActiveUserHandler):
    """Delete the caller in seven days, or `cancel` the deletion; a repetition changes nothing.

    Gold and income are lost. Logins stay possible until then and do not cancel it.
    """

    @endpoint(limit="profile")
    async def post(self, params: DeleteRequest) -> DeletionResponse:
        user_id = self.user_id
        if params.cancel:
            at = await self.context.stores.users.plan_deletion(user_id, None)
        else:
            at = await self.context.services.accounts.data_requests.plan_deletion(user_id)
        return DeletionResponse(delete_at=at)
