"""Simulated refunds of both payment providers: one table, their switches and notifications."""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import HTTPRequest

from devtools.simulator.notifications import SimulatedDelivery
from devtools.simulator.requests import EmptyRequest, EndRefundRequest, NextRefundsRequest, Report

REFUND_SECONDS = 0.5
NUMBER = re.compile(r"[0-9A-Za-z_-]{8,32}")


@dataclass(slots=True)
class SimulatedRefund:
    """A refund at its provider; `state` is pending, done or failed."""

    number: str
    """The merchant's number."""
    provider: str
    order: str
    fen: int
    request: Mapping[str, Any]
    finish: Callable[["SimulatedRefund", str], HTTPRequest]
    """Applies the refund to its order, if it is done; builds its notification."""
    created_at: float
    """Unix seconds."""
    state: str = "pending"
    wechat_number: str = field(default_factory=lambda: f"503{secrets.randbelow(10**25):025}")


@dataclass(eq=False)
class SimulatedRefunds:
    """Ends refunds and notifies the server; tests use `refunds` (by our number) and the switches.

    A refund ends after a moment with `outcome`, and its notification is sent in `mode`; a `held`
    refund ends on request. The `fault` NOT_ENOUGH refuses the next request.
    """

    _delivery: SimulatedDelivery
    refunds: dict[str, SimulatedRefund] = field(default_factory=dict)
    outcome: str = "success"
    mode: Report = "once"
    fault: str = ""

    def add(self, refund: SimulatedRefund) -> None:
        self.refunds[refund.number] = refund
        outcome, mode = self.outcome, self.mode

        async def end(_attempt: int) -> None:
            await asyncio.sleep(REFUND_SECONDS)
            self._end(refund, outcome, mode)

        if outcome != "held":
            self._delivery.run(end)

    def take_fault(self) -> bool:
        """Return whether this request gets the fault."""
        fault, self.fault = self.fault, ""
        return bool(fault)

    def refunded(self, order: str) -> int:
        """Return the sum of an order's refunds that have not failed, in fen."""
        own = [refund for refund in self.refunds.values() if refund.order == order]
        return sum(refund.fen for refund in own if refund.state != "failed")

    def set_next(self, request: NextRefundsRequest) -> dict[str, Any]:
        self.outcome, self.mode, self.fault = request.outcome, request.report, request.fault
        return request.model_dump()

    def end(self, request: EndRefundRequest) -> dict[str, Any]:
        """End a refund, or notify of an ended one again. Raises ValueError for an unknown one."""
        refund = self.refunds.get(request.refund)
        if refund is None:
            raise ValueError("refund: our number")
        self._end(refund, request.outcome, request.report)
        return request.model_dump()

    def show(self, _request: EmptyRequest) -> dict[str, Any]:
        names = ("number", "provider", "order", "fen", "state")
        refunds = self.refunds.values()
        return {"items": [{name: getattr(refund, name) for name in names} for refund in refunds]}

    def _end(self, refund: SimulatedRefund, outcome: str, mode: Report) -> None:
        if refund.state == "pending":
            refund.state = "done" if outcome == "success" else "failed"
        self._delivery.start(refund.finish(refund, mode), mode)
