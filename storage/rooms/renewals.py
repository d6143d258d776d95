"""Orders the renewal of private lives: whoever has left one knows its streams and its chat group.

Two messages of the outbox name what the leaver knew, in lanes that wait for nothing else: new
streams need neither IM nor CSS.
"""

from storage.database import Collection, Database, Document
from storage.jobs.outbox import RENEW_GROUP, RENEW_STREAMS, OutboxStore
from storage.write_batch import WriteBatch


class RenewalStore:
    """Messages that renew private lives, and the lives that may have become private meanwhile."""

    def __init__(self, database: Database, outbox: OutboxStore) -> None:
        self._rooms: Collection = database.collection("rooms")
        self._outbox = outbox
        self._left: set[int] = set()

    def add_to(self, batch: WriteBatch, live_id: int, stream: str, group_id: str) -> None:
        """Add the renewal to the departure of a user who knew the host's stream and the group."""
        for kind, payload in _messages(live_id, stream, group_id):
            self._outbox.add_to(batch, kind, payload, urgent=True, key=str(live_id))

    def note_departure(self, live_id: int) -> None:
        """Note a departure that has found the live not private, and written the membership alone.

        The live may have become private before that was written.
        """
        self._left.add(live_id)

    async def flush(self) -> None:
        """Renew those of the noted lives that are private by now, with one query for all."""
        left, self._left = self._left, set()
        if not left:
            return
        try:
            private = {"_id": {"$in": [*left]}, "visibility": "private"}
            found = self._rooms.find(private, {"group_id": 1, "owner.stream": 1})
            async for row in found:
                of_live = _messages(row["_id"], row["owner"]["stream"], row["group_id"])
                for kind, payload in of_live:
                    await self._outbox.add(kind, payload, urgent=True, key=str(row["_id"]))
        except BaseException:
            self._left |= left
            raise


def _messages(live_id: int, stream: str, group_id: str) -> list[tuple[str, Document]]:
    """Return the messages as (kind, payload): of those that are joined, the lists add up."""
    known = ((RENEW_STREAMS, "streams", stream), (RENEW_GROUP, "groups", group_id))
    return [(kind, {"live_id": live_id, name: [value]}) for kind, name, value in known]
