"""Simulated refunds of both payment providers: one table, their switches and notifications."""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from devtools.simulator.notifications import (
    DELIVERIES,
    UNVERIFIABLE,
    BuildNotification,
    SimulatedDelivery,
)
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply

OUTCOMES = ("success", "failed", "held")
MODES = (*DELIVERIES, *UNVERIFIABLE, "wrong_amount")
FAULTS = ("NOT_ENOUGH", "lost")
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
    finish: Callable[["SimulatedRefund"], BuildNotification]
    """Applies the refund to its order, if it is done; builds its notification."""
    state: str = "pending"
    is_returned: bool = False
    """A failed refund's money can be refunded again."""
    wechat_number: str = field(default_factory=lambda: f"503{secrets.randbelow(10**25):025}")


class SimulatedRefunds:
    """`refunds` (by our number), `outcome`, `mode` and `fault` are for tests.

    A refund ends after a moment with `outcome`, and is notified as `mode` says; one that is `held`
    ends when it is told to. The next request gets `fault`: NOT_ENOUGH refuses it, `lost` takes it
    without an answer.
    """

    def __init__(self, delivery: SimulatedDelivery) -> None:
        self.refunds: dict[str, SimulatedRefund] = {}
        self.outcome, self.mode, self.fault = "success", "once", ""
        self._delivery = delivery

    def add(self, refund: SimulatedRefund) -> None:
        self.refunds[refund.number] = refund
        if self.outcome != "held":
            self._delivery.run(partial(self._end, refund, self.outcome, self.mode))

    def take_fault(self, name: str) -> bool:
        """Whether this request gets the fault."""
        hit = self.fault == name
        self.fault = "" if hit else self.fault
        return hit

    def refunded(self, order: str) -> int:
        """Sum of an order's refunds that have not failed, in fen."""
        own = [refund for refund in self.refunds.values() if refund.order == order]
        return sum(refund.fen for refund in own if refund.state != "failed")

    def set_next(self, request: SimulatorRequest) -> SimulatorReply:
        """`{outcome?, report?, fault?}`: what becomes of the refunds that follow."""
        params = request.json_object() or {}
        outcome, mode = params.get("outcome", "success"), params.get("report", "once")
        fault = params.get("fault", "")
        if outcome not in OUTCOMES or mode not in MODES or fault not in ("", *FAULTS):
            return bad_request(
                f"outcome: {', '.join(OUTCOMES)}; report: {', '.join(MODES)}; "
                f"fault: {', '.join(FAULTS)}"
            )
        self.outcome, self.mode, self.fault = outcome, mode, fault
        return json_reply({"outcome": outcome, "report": mode, "fault": fault})

    def end(self, request: SimulatorRequest) -> SimulatorReply:
        """`{refund, outcome?, report?}`: ends a held refund, or has an ended one notified again."""
        params = request.json_object() or {}
        outcome, mode = params.get("outcome", "success"), params.get("report", "once")
        refund = self.refunds.get(str(params.get("refund")))
        if refund is None or outcome not in OUTCOMES[:2] or mode not in MODES:
            return bad_request(f"refund: our number; report: {', '.join(MODES)}")
        self._end_now(refund, outcome, mode)
        return json_reply({"outcome": outcome, "refund": refund.number})

    def show(self, _request: SimulatorRequest) -> SimulatorReply:
        names = ("number", "provider", "order", "fen", "state")
        items = [{name: getattr(it, name) for name in names} for it in self.refunds.values()]
        return json_reply({"items": items})

    async def _end(self, refund: SimulatedRefund, outcome: str, mode: str) -> None:
        await asyncio.sleep(REFUND_SECONDS)
        self._end_now(refund, outcome, mode)

    def _end_now(self, refund: SimulatedRefund, outcome: str, mode: str) -> None:
        if refund.state == "pending":
            refund.state = "done" if outcome == "success" else "failed"
        self._delivery.start(refund.finish(refund), mode)
