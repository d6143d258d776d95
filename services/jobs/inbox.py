"""Inbox for external callbacks: stored raw, then processed once."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from storage.jobs.inbox import InboxMessage, InboxStore, Outcome


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


async def receive(
    inbox: InboxStore,
    message: InboxMessage,
    rejection: str,
    handle: Callable[[], Awaitable[CallbackOutcome]],
) -> CallbackOutcome | None:
    """Store the message and carry it out; return None if it was done or ignored before.

    Its effect must be idempotent: a redelivery after a crash is carried out again. `rejection` is
    the reason code of a message that is not verified, else "": it is then stored separately and
    refused.
    """
    if rejection:
        await inbox.refuse(message, rejection)
        return refused(rejection)
    if await inbox.receive(message) == "received":
        outcome = await handle()
        if await inbox.close(message, **outcome._asdict()):
            return outcome
    first = await inbox.stored(message)  # by the delivery that was first
    return refused(first["reason"]) if first.get("outcome") == "refused" else None
