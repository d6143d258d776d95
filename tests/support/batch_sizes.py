"""Sizes of the batches in which MongoDB sends the rows of a query."""

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)


class BatchSizes(CommandListener):
    """Rows of the largest batch, and of all batches together."""

    def __init__(self) -> None:
        self.largest = self.total = 0

    def started(self, event: CommandStartedEvent) -> None:
        """Only replies are of interest."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        rows = len(cursor.get("firstBatch", cursor.get("nextBatch", ())))
        self.largest, self.total = max(self.largest, rows), self.total + rows

    def failed(self, event: CommandFailedEvent) -> None:
        """Has no rows."""
