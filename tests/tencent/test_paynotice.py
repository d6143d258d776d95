import json
from typing import Any

import pytest

from money.recharge import Payment, Refund
from tencent.paynotice import EVER_PAID, Notices, payment_of, refund_of
from tencent.paysign import NotGenuine, read_key

PAYMENT = Payment(
    "jsapi",
    "T20231115061320001",
    "4200001999202311150000000001",
    100,
    openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    app_id="wxd678efh567hg6787",
)
WORDS = {
    "reject_stale": "stale",
    "reject_signature": "sign",
    "reject_serial": "serial",
    "reject_mchid": "merchant",
}


@pytest.fixture
def notices(merchant: dict[str, Any]) -> Notices:
    platform = merchant["platform"]
    keys = {
        platform["public_key_id"]: read_key(platform["public_key_pem"]),
        platform["certificate_serial"]: read_key(platform["certificate_pem"]),
    }
    return Notices(merchant["mchid"], keys, merchant["apiv3_key"])


def test_every_known_notification_is_judged_as_it_should_be(
    notices: Notices, merchant: dict[str, Any]
) -> None:
    seen = set()
    for case in merchant["notifications"]:
        heard = notices.read(case["headers"], case["body"].encode(), case["now"])
        seen.add(case["expect"])
        if case["name"] == "probe signature":
            assert heard.refused == "probe"
        elif case["expect"] in WORDS:
            assert (heard.news, heard.refused) == (None, WORDS[case["expect"]]), case["name"]
        elif case["expect"] == "reject_amount":  # which only the order knows
            assert isinstance(heard.news, Payment)
            assert heard.news.fen != 100
        elif case["name"] == "refund success":
            refund = Refund("jsapi", PAYMENT.order, "50300900002023111500000000001", 100)
            assert (heard.news, heard.refused) == (refund, "")
        else:
            assert (heard.id, heard.news) == ("EV-2018022511223320873", PAYMENT)
    assert seen >= {"ok", "reject_amount", *WORDS}


def test_what_was_given_back_in_part_was_paid_as_far_as_a_query_is_concerned() -> None:
    refunded = {**GOOD, "trade_state": "REFUND"}
    assert payment_of(refunded) is None
    assert payment_of(refunded, EVER_PAID) == payment_of(GOOD)


def test_what_is_no_payment_moves_nothing() -> None:
    for state in ("NOTPAY", "CLOSED", "REFUND", None):
        assert payment_of({"trade_state": state}) is None
    for status in ("PROCESSING", "ABNORMAL", None):
        assert refund_of({"refund_status": status}) is None


GOOD = {
    "trade_state": "SUCCESS",
    "out_trade_no": "Q1",
    "transaction_id": "42",
    "appid": "wx",
    "payer": {"openid": "o"},
    "amount": {"total": 100, "payer_total": 90, "currency": "CNY"},
}


def test_a_coupon_does_not_lower_what_was_paid() -> None:
    payment = payment_of(GOOD)
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
def test_a_payment_with_something_missing_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(NotGenuine):
        payment_of({**GOOD, **change})
    refund = {"refund_status": "SUCCESS", "out_trade_no": "Q1", "refund_id": "5"}
    for amount in (None, {}, {"refund": "1"}):
        with pytest.raises(NotGenuine):
            refund_of({**refund, "amount": amount})


def test_the_same_bytes_have_the_same_id_though_they_are_refused(notices: Notices) -> None:
    bodies = [b"{}", b"{}", b"[]", b"\xff", b"[" * 50_000]
    heard = [notices.read({}, body, 0.0) for body in bodies]
    assert all(one.refused == "unreadable" for one in heard)
    assert heard[0].id == heard[1].id
    assert len({one.id for one in heard}) == 4


def test_what_is_genuine_and_of_another_kind_is_ignored(
    notices: Notices, merchant: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tencent.paynotice.verify", lambda *_args: None)
    for event in ("TRANSACTION.FAIL", "REFUND.CLOSED", "SOMETHING.SUCCESS", "PAYSCORE.USER_PAID"):
        body = json.dumps({"id": "EV-1", "event_type": event}).encode()
        heard = notices.read({}, body, 0.0)
        assert (heard.id, heard.ignored, heard.news) == ("EV-1", "unknown_event", None)
    for body in (b"[]", b'{"id": "EV-1"}', b'{"id": 5, "event_type": "TRANSACTION.SUCCESS"}'):
        assert notices.read({}, body, 0.0).refused == "unreadable"
    unsealed = json.dumps({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": 5})
    assert notices.read({}, unsealed.encode(), 0.0).refused == "seal"
