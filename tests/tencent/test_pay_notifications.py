import json
from typing import Any

import pytest

from ledger.recharge import Payment, Refund
from tencent.errors import NotVerified
from tencent.pay_notifications import EVER_PAID, PaymentNotifications, payment_of, refund_of
from tencent.pay_signatures import read_key

PAYMENT = Payment(
    "jsapi",
    "T20231115061320001",
    "4200001999202311150000000001",
    100,
    openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    app_id="wxd678efh567hg6787",
)
REFUND = Refund(
    "jsapi",
    PAYMENT.order,
    "50300900002023111500000000001",
    100,
    own="R20231115061320001",
)
REFUSALS = {
    "reject_stale": "stale",
    "reject_signature": "sign",
    "reject_serial": "serial",
    "reject_mchid": "merchant",
}


@pytest.fixture
def notifications(merchant: dict[str, Any]) -> PaymentNotifications:
    platform = merchant["platform"]
    keys = {
        platform["public_key_id"]: read_key(platform["public_key_pem"]),
        platform["certificate_serial"]: read_key(platform["certificate_pem"]),
    }
    return PaymentNotifications(merchant["mchid"], keys, merchant["apiv3_key"])


def test_notification_vectors_are_accepted_or_refused(
    notifications: PaymentNotifications, merchant: dict[str, Any]
) -> None:
    expectations = set()
    for case in merchant["notifications"]:
        parsed = notifications.read(case["headers"], case["body"].encode(), case["now"])
        expectations.add(case["expect"])
        if case["name"] == "probe signature":
            assert parsed.refused == "probe"
        elif case["expect"] in REFUSALS:
            assert (parsed.event, parsed.refused) == (None, REFUSALS[case["expect"]]), case["name"]
        elif case["expect"] == "reject_amount":  # checked against the order, not here
            assert isinstance(parsed.event, Payment)
            assert parsed.event.fen != 100
        elif case["name"] == "refund success":
            assert (parsed.event, parsed.refused) == (REFUND, "")
        else:
            assert (parsed.id, parsed.event) == ("EV-2018022511223320873", PAYMENT)
    assert expectations >= {"ok", "reject_amount", *REFUSALS}


def test_refunded_order_counts_as_paid_for_a_query_only() -> None:
    refunded = {**PAID, "trade_state": "REFUND"}
    assert payment_of(refunded) is None
    assert payment_of(refunded, EVER_PAID) == payment_of(PAID)


def test_unfinished_payments_and_refunds_are_ignored() -> None:
    for state in ("NOTPAY", "CLOSED", "REFUND", None):
        assert payment_of({"trade_state": state}) is None
    for status in ("PROCESSING", "ABNORMAL", None):
        assert refund_of({"refund_status": status}) is None


PAID = {
    "trade_state": "SUCCESS",
    "out_trade_no": "Q1",
    "transaction_id": "42",
    "appid": "wx",
    "payer": {"openid": "o"},
    "amount": {"total": 100, "payer_total": 90, "currency": "CNY"},
}


def test_payment_amount_includes_coupons() -> None:
    payment = payment_of(PAID)
    assert payment
    assert payment.fen == 100


@pytest.mark.parametrize(
    "change",
    [
        {"out_trade_no": None},
        {"transaction_id": ""},
        {"appid": 5},
        {"payer": None},
        {"payer": {}},
        {"amount": []},
        {"amount": {"total": "100", "currency": "CNY"}},
        {"amount": {"total": True, "currency": "CNY"}},
        {"amount": {"total": -1, "currency": "CNY"}},
        {"amount": {"total": 100}},
    ],
)
def test_payment_or_refund_with_an_invalid_field_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(NotVerified):
        payment_of({**PAID, **change})
    refund = {"refund_status": "SUCCESS", "out_trade_no": "Q1", "refund_id": "5"}
    for amount in (None, {}, {"refund": "1"}):
        with pytest.raises(NotVerified):
            refund_of({**refund, "amount": amount})


def test_refused_notification_id_depends_on_its_bytes_only(
    notifications: PaymentNotifications,
) -> None:
    bodies = [b"{}", b"{}", b"[]", b"\xff", b"[" * 50_000]
    parsed = [notifications.read({}, body, 0.0) for body in bodies]
    assert all(notification.refused == "unreadable" for notification in parsed)
    assert parsed[0].id == parsed[1].id
    assert len({notification.id for notification in parsed}) == 4


def test_other_event_types_are_ignored_and_invalid_bodies_refused(
    notifications: PaymentNotifications, merchant: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tencent.pay_notifications.verify", lambda *_args: None)
    for event in ("TRANSACTION.FAIL", "REFUND.CLOSED", "SOMETHING.SUCCESS", "PAYSCORE.USER_PAID"):
        body = json.dumps({"id": "EV-1", "event_type": event}).encode()
        parsed = notifications.read({}, body, 0.0)
        assert (parsed.id, parsed.ignored, parsed.event) == ("EV-1", "unknown_event", None)
    for body in (b"[]", b'{"id": "EV-1"}', b'{"id": 5, "event_type": "TRANSACTION.SUCCESS"}'):
        assert notifications.read({}, body, 0.0).refused == "unreadable"
    unsealed = json.dumps({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": 5})
    assert notifications.read({}, unsealed.encode(), 0.0).refused == "seal"
