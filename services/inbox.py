"""Inbox for external callbacks: stored raw, then processed once."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from storage.inbox import InboxMessage, InboxStore, Outcome


class CallbackOutcome(NamedTuple):
    """Outcome of a callback; `reason` is empty if it was processed.

    A `lasting` callback concerns one of our orders, and its document is never deleted.
    """

    outcome: Outcome
    reason: str = ""
    lasting: bool = False


DONE = CallbackOutcome("done")


def ignored(reason: str) -> CallbackOutcome:
    return CallbackOutcome("ignored", reason)


def refused(reason: str) -> CallbackOutcome:
    return CallbackOutcome("refused", reason)


class InboxService:
    """Processes callbacks, deduplicated by message id.

    The effect of a callback must be idempotent: a redelivery after a crash is processed again.
    """

    def __init__(self, inbox: InboxStore) -> None:
        self._inbox = inbox

    async def receive(
        self,
        message: InboxMessage,
        rejection: str,
        carry_out: Callable[[], Awaitable[CallbackOutcome]],
    ) -> CallbackOutcome | None:
        """Store the message and carry it out; None if it was done or ignored before.

        `rejection` is the reason code of a message that is not verified, else "": it is then
        stored separately and refused.
        """
        if rejection:
            await self._inbox.refuse(message, rejection)
            return refused(rejection)
        stored_outcome = await self._inbox.receive(message)
        if stored_outcome == "refused":
            return refused(await self._inbox.refusal_reason(message))
        if stored_outcome != "received":
            return None
        outcome = await carry_out()
        await self.record_outcome(message, outcome)
        return outcome

    async def record_outcome(self, message: InboxMessage, outcome: CallbackOutcome) -> None:
        """Store the outcome of a message that was carried out; the first one stored wins."""
        await self._inbox.settle(message, outcome.outcome, outcome.reason, lasting=outcome.lasting)
