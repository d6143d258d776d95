import json
from dataclasses import replace
from typing import Any

import pytest

from ledger.recharge import Payment, Refund
from ledger.transfers import Transfer, TransferMismatch, TransferState
from tencent.errors import NotVerified, Unreadable
from tencent.merchant import read_key
from tencent.notifications import (
    EVER_PAID,
    PAYMENTS,
    TRANSFERS,
    MerchantNotifications,
    payment_of,
    transfer_of,
)
from tests.support.withdrawals import NOW, submitted

Notifications = MerchantNotifications[Any]
Vectors = dict[str, Any]

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
def notifications(merchant: dict[str, Any]) -> Notifications:
    platform = merchant["platform"]
    keys = {
        platform["public_key_id"]: read_key(platform["public_key_pem"]),
        platform["certificate_serial"]: read_key(platform["certificate_pem"]),
    }
    return MerchantNotifications(merchant["mchid"], keys, merchant["apiv3_key"], PAYMENTS)


def test_notification_vectors_are_accepted_or_refused(
    notifications: Notifications, merchant: dict[str, Any]
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


def test_unfinished_payments_and_refunds_are_refused() -> None:
    for state in ("NOTPAY", "CLOSED", "REFUND", None):
        assert payment_of({"trade_state": state}) is None
    for event, content in {
        "TRANSACTION.SUCCESS": {"trade_state": "NOTPAY"},
        "REFUND.SUCCESS": {"refund_status": "PROCESSING"},
    }.items():
        with pytest.raises(NotVerified, match="not_paid"):
            PAYMENTS[event](content)


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
            PAYMENTS["REFUND.SUCCESS"]({**refund, "amount": amount})


def test_refused_notification_id_depends_on_its_bytes_only(
    notifications: Notifications,
) -> None:
    bodies = [b"{}", b"{}", b"[]", b"\xff", b"[" * 50_000]
    parsed = [notifications.read({}, body, 0.0) for body in bodies]
    assert all(notification.refused == "unreadable" for notification in parsed)
    assert parsed[0].id == parsed[1].id
    assert len({notification.id for notification in parsed}) == 4


def test_other_event_types_are_ignored_and_invalid_bodies_refused(
    notifications: Notifications, merchant: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tencent.notifications.verify", lambda *_args: None)
    for event in ("TRANSACTION.FAIL", "REFUND.CLOSED", "SOMETHING.SUCCESS", "PAYSCORE.USER_PAID"):
        body = json.dumps({"id": "EV-1", "event_type": event}).encode()
        parsed = notifications.read({}, body, 0.0)
        assert (parsed.id, parsed.ignored, parsed.event) == ("EV-1", "unknown_event", None)
    for body in (b"[]", b'{"id": "EV-1"}', b'{"id": 5, "event_type": "TRANSACTION.SUCCESS"}'):
        assert notifications.read({}, body, 0.0).refused == "unreadable"
    unsealed = json.dumps({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": 5})
    assert notifications.read({}, unsealed.encode(), 0.0).refused == "decryption"


# ---- transfers to users

TRANSFER = Transfer(
    "W20250615230640001",
    TransferState.SUCCESS,
    "1330001900010932506150083551658036",
    15_000,
    "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
)
TRANSFER_REFUSALS = {
    "reject_stale": "stale",
    "reject_signature": "sign",
    "reject_serial": "serial",
    "reject_decrypt": "decryption",
    "reject_mchid": "merchant",
    "reject_state": "not_final",
}


@pytest.fixture
def transfers(transfer_vectors: Vectors) -> Notifications:
    platform = transfer_vectors["platform"]
    keys = {platform["public_key_id"]: read_key(platform["public_key_pem"])}
    return MerchantNotifications(
        transfer_vectors["mchid"], keys, transfer_vectors["apiv3_key"], TRANSFERS
    )


def test_vectors_of_transfers_are_accepted_or_refused(
    transfers: Notifications, transfer_vectors: Vectors
) -> None:
    cases = transfer_vectors["notifications"]
    assert len(cases) == 13
    for case in cases:
        parsed = transfers.read(case["headers"], case["body"].encode(), case["now"])
        transfer, plain = parsed.event, json.loads(case["plaintext"])
        if case["name"] == "WeChat Pay's signature probe":
            assert (transfer, parsed.refused) == (None, "probe")
        elif case["expect"] in TRANSFER_REFUSALS:
            assert (transfer, parsed.refused) == (None, TRANSFER_REFUSALS[case["expect"]]), case[
                "name"
            ]
        elif case["expect"] == "reject_amount":  # compared with the withdrawal, not here
            assert transfer
            assert mismatch_of(transfer, transfer_vectors["expected_amount"]) == "amount"
        else:
            assert case["expect"] == "ok"
            assert (parsed.id, parsed.refused, parsed.ignored) == ("EV-b3Rk1Jpz", "", "")
            assert transfer
            assert mismatch_of(transfer, transfer_vectors["expected_amount"]) == ""
            assert (transfer.number, transfer.fen) == (TRANSFER.number, TRANSFER.fen)
            assert transfer.state == plain["state"]
            assert transfer.fail_reason == plain.get("fail_reason", "")
    assert {case["expect"] for case in cases} == {"ok", "reject_amount", *TRANSFER_REFUSALS}


def mismatch_of(transfer: Transfer, fen: int) -> str:
    """Why a submitted withdrawal of `fen` refuses what was read, else ""."""
    withdrawal = replace(submitted(), fen=fen, openid=TRANSFER.openid or "")
    try:
        withdrawal.apply(transfer, NOW)
    except TransferMismatch as mismatch:
        return mismatch.reason
    return ""


def test_verified_notification_is_read_again_without_its_headers(
    transfers: Notifications, transfer_vectors: Vectors
) -> None:
    body = transfer_vectors["notifications"][0]["body"].encode()
    assert transfers.read_verified(body) == TRANSFER


def test_transfer_reader_ignores_other_event_types(
    transfers: Notifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tencent.notifications.verify", lambda *_args: None)
    for event in ("TRANSACTION.SUCCESS", "MCHTRANSFER.BILL.CREATED"):
        body = json.dumps({"id": "EV-1", "event_type": event}).encode()
        parsed = transfers.read({}, body, 0.0)
        assert (parsed.id, parsed.ignored, parsed.event) == ("EV-1", "unknown_event", None)


CONTENT = {
    "out_bill_no": "W1",
    "transfer_bill_no": "13",
    "state": "SUCCESS",
    "mchid": "1900000109",
    "transfer_amount": 100,
}


def test_either_name_of_the_merchant_is_read_and_an_amount_required(
    transfers: Notifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = dict(CONTENT)
    monkeypatch.setattr("tencent.notifications.decrypt_resource", lambda *_args: dict(content))
    body = b'{"event_type": "MCHTRANSFER.BILL.FINISHED"}'
    assert transfers.read_verified(body) == Transfer("W1", TransferState.SUCCESS, "13", 100)
    content["mch_id"] = content.pop("mchid")
    assert transfers.read_verified(body)
    del content["transfer_amount"]
    with pytest.raises(Unreadable):
        transfers.read_verified(body)
    del content["mch_id"]
    with pytest.raises(NotVerified, match="merchant"):
        transfers.read_verified(body)


@pytest.mark.parametrize(
    "change",
    [
        {"out_bill_no": None},
        {"transfer_bill_no": ""},
        {"state": "success"},
        {"transfer_amount": True},
        {"openid": 5},
        {"package_info": "x" * 1025},
        {"fail_reason": [1]},
    ],
)
def test_transfer_with_an_invalid_field_is_unreadable(change: Vectors) -> None:
    with pytest.raises(Unreadable):
        transfer_of({**CONTENT, **change})


def test_a_long_reason_does_not_hide_that_a_transfer_has_failed() -> None:
    failed = transfer_of({**CONTENT, "state": "FAIL", "fail_reason": "x" * 300})
    assert (failed.state, failed.fail_reason) == (TransferState.FAIL, "x" * 256)


def test_package_may_have_1024_characters() -> None:
    assert transfer_of({**CONTENT, "package_info": "x" * 1024}).package == "x" * 1024
