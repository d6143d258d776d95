"""Reads the results of long queries in small batches."""

from collections.abc import AsyncIterator, Sequence

from storage.database import Collection, Document, Session

BATCH_ROWS = 500
"""Rows of one batch. A batch is decoded in one go: these take about 2 ms of the event loop, but
MongoDB's default of 16 MB takes a third of a second."""


async def stream(
    rows: Collection, steps: Sequence[Document], session: Session | None = None
) -> AsyncIterator[Document]:
    """The results of an aggregation, which may use the server's disk."""
    found = await rows.aggregate(steps, session=session, allowDiskUse=True, batchSize=BATCH_ROWS)
    async with found:
        async for row in found:
            yield row
