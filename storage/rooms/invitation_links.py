"""invitation_links: WeChat's URL Link to a page of an app, one for all invitations of a day."""

from datetime import date, datetime

from storage.database import Collection, Database


class InvitationLinkStore:
    """Links by app, page and day in China, until they expire."""

    def __init__(self, database: Database) -> None:
        self._links: Collection = database.collection("invitation_links")

    async def make_indexes(self) -> None:
        await self._links.create_index("expires_at", expireAfterSeconds=0)

    async def find(self, app_id: str, page: str, day: date) -> str | None:
        row = await self._links.find_one({"_id": _id(app_id, page, day)})
        return row["link"] if row else None

    async def keep(
        self, app_id: str, page: str, day: date, link: str, expires_at: datetime
    ) -> None:
        """Keep the link of the day, in place of one that another request has just made."""
        row = {"link": link, "expires_at": expires_at}
        await self._links.update_one({"_id": _id(app_id, page, day)}, {"$set": row}, upsert=True)


def _id(app_id: str, page: str, day: date) -> str:
    return f"{app_id}:{day}:{page}"
