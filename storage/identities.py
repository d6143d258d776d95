"""identities: one document per unique name of a user or a room, with the id of its owner.

A unique index of a sharded collection has to begin with the shard key. Here the name is the `_id`,
so that `users` can be sharded by user_id and `rooms` by live_id.
"""

from collections.abc import Sequence
from typing import Any, Literal

from storage.database import Collection, Database, Session
from storage.documents import documents_by_id
from storage.write_batch import WriteBatch

Kind = Literal["openid", "host", "ticket"]
"""`openid`: app and openid of a user. `host`, `ticket`: of a room."""


class IdentityStore:
    """Names that are unique in all shards."""

    def __init__(self, database: Database) -> None:
        self._identities: Collection = database.collection("identities")
        self._by_id = documents_by_id(self._identities, lambda row: row["of"])

    async def find(self, kind: Kind, name: str) -> Any:
        """Return the id of a name, None if there is none."""
        return await self._by_id.get(_id(kind, name))

    async def find_many(self, kind: Kind, names: Sequence[str]) -> list[Any]:
        """Return the ids of the names that exist."""
        found = await self._by_id.get_many([_id(kind, name) for name in names])
        return [of for of in found if of is not None]

    async def drop(self, kind: Kind, name: str, session: Session) -> None:
        await self._identities.delete_one({"_id": _id(kind, name)}, session=session)

    def add_to(self, batch: WriteBatch, kind: Kind, name: str, of: str | int) -> None:
        batch.insert("identities", {"_id": _id(kind, name), "of": of})

    def drop_in(self, batch: WriteBatch, kind: Kind, name: str) -> None:
        batch.delete_if_present("identities", {"_id": _id(kind, name)})


def _id(kind: Kind, name: str) -> str:
    return f"{kind}:{name}"
