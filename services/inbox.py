"""Inbox for external callbacks: stored raw, then processed once."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from storage.inbox import InboxMessage, InboxStore, Outcome


class CallbackOutcome(NamedTuple):
    """Outcome of a callback; `reason` is empty if it was processed.

    A `lasting` callback concerns one of our orders, or a duty that has no end, and its document is
    never deleted. `event` names an event of WeChat that moves no gold, `answer` is its answer.
    """

    outcome: Outcome
    reason: str = ""
    lasting: bool = False
    event: str = ""
    answer: dict[str, Any] | None = None


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
        if await self.record_outcome(message, outcome):
            return outcome
        reason = await self._inbox.refusal_reason(message)  # of the delivery that was first
        return refused(reason) if reason else None

    async def answer(self, message: InboxMessage) -> dict[str, Any] | None:
        """What a message that was carried out is answered, each time; None for most."""
        return await self._inbox.answer(message)

    async def record_outcome(self, message: InboxMessage, outcome: CallbackOutcome) -> bool:
        """Store the outcome of a message that was carried out; False unless it is the first."""
        return await self._inbox.settle(
            message,
            outcome.outcome,
            outcome.reason,
            lasting=outcome.lasting,
            event=outcome.event,
            answer=outcome.answer,
        )
