"""Simulated refunds of virtual payments (xpay)."""

from collections.abc import Callable, Mapping
from typing import Any

from devtools.simulator.delivery import Make
from devtools.simulator.refunds import NUMBER, SimulatedRefund, SimulatedRefunds
from devtools.simulator.reports import SimulatedNotification, SimulatedPushes

PROVIDER = "xpay"
BAD_PARAMETER, DUPLICATE, NOT_ENOUGH, WRONG_LEFT_FEE = 268490002, 268490004, 268490006, 268490016
PENDING, REFUNDED, FAILED = 1, 5, 7
STATUSES = {"pending": PENDING, "done": REFUNDED, "failed": FAILED}


class SimulatedXpayRefunds:
    """refund_order, and query_order of a refund; `push_url` receives the notifications."""

    def __init__(
        self,
        refunds: SimulatedRefunds,
        pushes: SimulatedPushes,
        push_url: str,
        now: Callable[[], float],
    ) -> None:
        self._refunds = refunds
        self._pushes = pushes
        self._push_url = push_url
        self._now = now

    def create(self, order: dict[str, Any], content: Mapping[str, Any]) -> int:
        """The errcode of refund_order; -1 if the refund was taken but the answer is lost."""
        number, fen = str(content.get("refund_order_id")), content.get("refund_fee")
        if number in self._refunds.refunds:
            return DUPLICATE
        codes = {"refund_reason": "012345", "req_from": "123"}
        valid = all(str(content.get(name)) in allowed for name, allowed in codes.items())
        if not NUMBER.fullmatch(number) or type(fen) is not int or not valid:
            return BAD_PARAMETER
        if content.get("left_fee") != order["left_fee"] or not 0 < fen <= order["left_fee"]:
            return WRONG_LEFT_FEE
        if self._refunds.take_fault("NOT_ENOUGH"):
            return NOT_ENOUGH

        def finish(refund: SimulatedRefund) -> Make:
            return self._finish(order, refund)

        order["left_fee"] -= fen
        self._refunds.add(
            SimulatedRefund(number, PROVIDER, order["order_id"], fen, content, finish)
        )
        return -1 if self._refunds.take_fault("lost") else 0

    def query(self, number: str) -> dict[str, Any] | None:
        """A refund as query_order shows it: an order of its own."""
        refund = self._refunds.refunds.get(number)
        if refund is None or refund.provider != PROVIDER:
            return None
        return {
            "order_id": refund.number,
            "status": STATUSES[refund.state],
            "order_fee": refund.fen,
            "order_type": 1,
            "wx_order_id": refund.wechat_number,
            "biz_meta": refund.request.get("biz_meta", ""),
        }

    def _finish(self, order: dict[str, Any], refund: SimulatedRefund) -> Make:
        """Called again when a refund is notified again: it moves nothing twice."""
        if refund.state == "failed" and not refund.is_returned:
            refund.is_returned = True
            order["left_fee"] += refund.fen
        if refund.state == "done" and not order["left_fee"]:
            order["status"] = REFUNDED
        content = self._event(order, refund)

        def build(mode: str) -> SimulatedNotification:
            altered = {**content, "RefundFee": refund.fen + (mode == "wrong_amount")}
            return self._pushes.report(
                self._push_url, altered, "once" if mode == "wrong_amount" else mode
            )

        return build

    def _event(self, order: Mapping[str, Any], refund: SimulatedRefund) -> dict[str, Any]:
        now, is_done = int(self._now()), refund.state == "done"
        return {
            "ToUserName": "gh_simulator",
            "FromUserName": order["_openid"],
            "CreateTime": now,
            "MsgType": "event",
            "Event": "xpay_refund_notify",
            "OpenId": order["_openid"],
            "WxRefundId": refund.wechat_number,
            "MchRefundId": refund.number,
            "WxOrderId": order["wx_order_id"],
            "MchOrderId": order["order_id"],
            "RefundFee": refund.fen,
            "RetCode": 0 if is_done else 1,
            "RetMsg": "" if is_done else "refund failed",
            "RefundStartTimestamp": now,
            "RefundSuccTimestamp": now if is_done else 0,
            "WxpayRefundTransactionId": refund.wechat_number,
            "RetryTimes": 0,
        }
