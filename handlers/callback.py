"""Reports from outside: kept raw, then carried out, once however often they come."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import structlog

from handlers.base import BODY_BYTES, Handler
from rooms.refusals import CallbackRefused, TooLarge
from storage.inbox import Note, Outcome


class Settled(NamedTuple):
    """What became of a report; a `reason` unless it was done. What says something of an order of
    ours is `lasting`."""

    outcome: Outcome
    reason: str = ""
    lasting: bool = False


DONE = Settled("done")


def ignored(reason: str) -> Settled:
    return Settled("ignored", reason)


def refused(reason: str) -> Settled:
    return Settled("refused", reason)


class Callback(Handler):
    """While the database is away it is answered with 503, and whoever reports repeats it."""

    def parameters(self) -> dict[str, Any]:
        """None: what nobody can read is kept, too, before it is refused."""
        if self._body_size > BODY_BYTES:
            raise TooLarge
        return {}

    async def take(
        self, note: Note, doubt: str, carry_out: Callable[[], Awaitable[Settled]]
    ) -> None:
        """CallbackRefused: for `doubt` that it is genuine, or for what it says."""
        inbox = self.parts.inbox
        if doubt:
            await inbox.refuse(note, doubt)
            self._refuse(note.source, doubt)
        known = await inbox.receive(note)
        if known == "refused":
            self._refuse(note.source, await inbox.why_refused(note))
        if known == "received":
            outcome, reason, lasting = await carry_out()
            await inbox.settle(note, outcome, reason, lasting=lasting)
            if outcome == "refused":
                self._refuse(note.source, reason)
            structlog.contextvars.bind_contextvars(callback=reason or outcome)

    @property
    def query(self) -> dict[str, str]:
        """What is not UTF-8 becomes question marks, and with them no signature fits."""
        return dict(parse_qsl(self.request.query, keep_blank_values=True))

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def _refuse(self, source: str, reason: str) -> None:
        structlog.contextvars.bind_contextvars(callback=reason)
        self.parts.metrics.callbacks_refused.labels(source, reason).inc()
        raise CallbackRefused
