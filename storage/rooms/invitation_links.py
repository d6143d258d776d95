"""invitation_links: WeChat's URL Link, one for all invitations of an app and day."""

from datetime import datetime

from storage.database import Collection, Database


class InvitationLinkStore:
    """Links by key, until they expire."""

    def __init__(self, database: Database) -> None:
        self._links: Collection = database.collection("invitation_links")

    async def make_indexes(self) -> None:
        await self._links.create_index("expires_at", expireAfterSeconds=0)

    async def find(self, key: str) -> str | None:
        row = await self._links.find_one({"_id": key})
        return row["link"] if row else None

    async def keep(self, key: str, link: str, expires_at: datetime) -> None:
        """Keep a link, in place of one that another request has just made."""
        row = {"_id": key, "link": link, "expires_at": expires_at}
        await self._links.replace_one({"_id": key}, row, upsert=True)
