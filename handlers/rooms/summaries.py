"""Summaries of the caller's own lives."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from handlers.base import ActiveUserHandler, endpoint
from handlers.models import LIST_PAGE_SIZE, FaceView, PageRequest, Response, Time
from rooms.events import EndReason


class LiveDateResponse(Response):
    """Two guests who were on mic together; null for a deleted user."""

    male: FaceView | None
    female: FaceView | None
    began_at: Annotated[Time, Field(alias="from")]
    to: Time | None


class LiveReportResponse(Response):
    """What a live was; `audience_peak` and `audience_total` are without the host."""

    live_id: int
    started_at: Time
    ended_at: Time | None
    """Null while it runs."""
    reason: EndReason | Literal[""]
    audience_peak: int
    audience_total: int | None
    """Users who entered; null while it runs."""
    applications: int
    dates: list[LiveDateResponse]
    income: int
    """The host's own, of gifts in this live, also of those reversed later."""
    followers: int
    """Followers gained during the live."""
    matches: int


class LivesResponse(RootModel[list[LiveReportResponse]]):
    pass


class LivesHandler(ActiveUserHandler):
    """Reports of the caller's own lives, newest first."""

    read_only = True

    @endpoint(limit="read")
    async def get(self, params: PageRequest) -> LivesResponse:
        stores = self.context.stores
        lives = await stores.summaries.page_of_host(self.user_id, params.page, LIST_PAGE_SIZE)
        dates = [date for live in lives for date in live["dates"]]
        guests = {date[seat] for date in dates for seat in ("male", "female")}
        users = await stores.users.find_many(sorted(guests))
        faces = {
            user.user_id: user.person().public_profile() for user in users if not user.deleted_at
        }

        def shown(date: Mapping[str, Any]) -> dict[str, Any]:
            return {**date, "male": faces.get(date["male"]), "female": faces.get(date["female"])}

        return LivesResponse.model_validate(
            [{**live, "dates": [*map(shown, live["dates"])]} for live in lives]
        )
