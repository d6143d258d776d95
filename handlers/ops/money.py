"""Operators and money: orders, the book, what was reported from outside."""

from collections.abc import Awaitable
from typing import TypeVar

from handlers import payments
from handlers.base import call
from handlers.ops import answers, asks
from handlers.ops.base import PAGE, Operator
from rooms.refusals import BadParameter, NoSuchThing
from storage.pages import NoCursor

T = TypeVar("T")


class Orders(Operator):
    """Orders, the newest first; `q` is a user id, or the start of a number or transaction."""

    @call
    async def get(self, ask: asks.OrderSearch) -> answers.Orders:
        orders = self.parts.orders.page(ask.user_id, ask.state, ask.after, PAGE, said=ask.q)
        rows, more = await _page(orders)
        return answers.Orders(items=[answers.Order.model_validate(row) for row in rows], next=more)


class Ledger(Operator):
    """The book, the newest first; `q` is a user id, or the start of an entry or order."""

    @call
    async def get(self, ask: asks.LedgerSearch) -> answers.Ledger:
        ledger = self.parts.ledger.page(ask.user_id, ask.kind, ask.after, PAGE, said=ask.q)
        rows, more = await _page(ledger)
        return answers.Ledger(items=[answers.Entry.model_validate(row) for row in rows], next=more)


class Reverse(Operator):
    """A gift or a grant goes back; once, however often it is asked for."""

    @call
    async def post(self, ask: asks.Reversal) -> answers.Reversed:
        answer = await self.parts.teller.reverse(ask.entry, ask.reason, by="ops")
        return answers.Reversed.model_validate(answer)


class Inbox(Operator):
    """What was reported from outside, the newest first; `q` is the start of a report or order."""

    @call
    async def get(self, ask: asks.InboxSearch) -> answers.InboxPage:
        inbox = self.parts.inbox.page(ask.source, ask.outcome, ask.after, PAGE, said=ask.q)
        rows, more = await _page(inbox)
        items = [answers.Report.model_validate(row) for row in rows]
        return answers.InboxPage(items=items, next=more)


class RunAgain(Operator):
    """A genuine report of money is carried out again, say once its order has been put right."""

    @call
    async def post(self, ask: asks.Again) -> answers.Outcome:
        row = await self.parts.inbox.find(ask.id)
        if row is None:
            raise NoSuchThing
        if row["source"] not in payments.AGAIN or not await self.parts.inbox.reopen(ask.id):
            raise BadParameter({"id": "is no genuine report of money"})
        settled = await payments.again(self.parts, row)
        return answers.Outcome(outcome=settled.outcome, reason=settled.reason)


async def _page(asked: Awaitable[T]) -> T:
    """BadParameter for a cursor that is none of ours."""
    try:
        return await asked
    except NoCursor:
        raise BadParameter({"after": "is not a cursor of ours"}) from None
