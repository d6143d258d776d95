import json
from dataclasses import replace

import pytest

from ledger.recharge import Payment, Refund
from ledger.transfers import Transfer, TransferState
from tencent.errors import NotVerified, Unreadable
from tencent.merchant import MerchantNotifications
from tencent.pay import EVER_PAID, PAYMENTS, payment_of
from tencent.transfers import FINISHED, TRANSFERS, transfer_of
from tests.support.tencent import merchant_client

PAYMENT = Payment(
    "jsapi",
    "T20231115061320001",
    "4200001999202311150000000001",
    100,
    openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    app_id="wxd678efh567hg6787",
)
REFUND = Refund(
    "jsapi", PAYMENT.order, "50300900002023111500000000001", 100, own="R20231115061320001"
)
TRANSFER = Transfer(
    "W20250615230640001",
    TransferState.SUCCESS,
    "1330001900010932506150083551658036",
    15_000,
    "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
)
REFUSALS = {
    "reject_stale": "stale",
    "reject_signature": "sign",
    "reject_serial": "serial",
    "reject_decrypt": "decryption",
    "reject_mchid": "merchant",
    "reject_state": "not_final",
}
UNSIGNED = ("stale", "sign", "serial", "probe")
"""Reasons of what is not known to come from WeChat Pay."""


@pytest.fixture
def payments(merchant):
    platform = merchant["platform"]
    certificates = {platform["certificate_serial"]: platform["certificate_pem"]}
    return MerchantNotifications(merchant_client(merchant, platform_keys=certificates), PAYMENTS)


@pytest.fixture
def transfers(transfer_vectors):
    return MerchantNotifications(merchant_client(transfer_vectors), TRANSFERS)


def refusal(case):
    """The reason for which a notification of the vectors is refused, else ""."""
    return "probe" if "probe" in case["name"] else REFUSALS.get(case["expect"], "")


def test_vectors_of_payments_and_refunds_are_accepted_or_refused(payments, merchant):
    cases = merchant["notifications"]
    for case in cases:
        parsed = payments.read(case["headers"], case["body"].encode(), case["now"])
        assert parsed.refused == refusal(case), case["name"]
        assert (parsed.kind is None) == (parsed.refused in UNSIGNED), case["name"]
        if parsed.refused:
            assert parsed.event is None
        elif case["expect"] == "reject_amount":  # checked against the order, not here
            assert parsed.event == replace(PAYMENT, fen=parsed.event.fen)
            assert parsed.event.fen != PAYMENT.fen
        elif case["name"] == "refund success":
            assert parsed.event == REFUND
        else:
            assert (parsed.id, parsed.event) == ("EV-2018022511223320873", PAYMENT)
    expected = {"ok", "reject_amount", *REFUSALS} - {"reject_decrypt", "reject_state"}
    assert {case["expect"] for case in cases} >= expected


def test_vectors_of_transfers_are_accepted_or_refused(transfers, transfer_vectors):
    cases, fen = transfer_vectors["notifications"], transfer_vectors["expected_amount"]
    assert len(cases) == 13
    for case in cases:
        parsed = transfers.read(case["headers"], case["body"].encode(), case["now"])
        transfer, plain = parsed.event, json.loads(case["plaintext"])
        assert parsed.refused == refusal(case), case["name"]
        assert parsed.kind == (None if parsed.refused in UNSIGNED else FINISHED), case["name"]
        if parsed.refused:
            assert transfer is None
        else:  # the amount is compared with the withdrawal, not here
            assert (transfer.fen != fen) == (case["expect"] == "reject_amount")
            assert (parsed.id, parsed.ignored) == ("EV-b3Rk1Jpz", "")
            expected = replace(TRANSFER, fen=transfer.fen, state=TransferState(plain["state"]))
            assert transfer == replace(expected, fail_reason=plain.get("fail_reason", ""))
    assert {case["expect"] for case in cases} == {"ok", "reject_amount", *REFUSALS}


def test_id_of_a_refused_notification_depends_on_its_bytes_only(payments):
    first, again, other = (payments.read({}, body, 0.0) for body in (b"{}", b"{}", b"[]"))
    assert first.refused == other.refused == "unreadable"
    assert first.id == again.id != other.id


def test_other_types_of_events_are_ignored_and_invalid_bodies_refused(
    payments, transfers, monkeypatch
):
    monkeypatch.setattr("tencent.merchant.verify", lambda *_args: None)
    for reader, event in (
        (payments, "TRANSACTION.FAIL"),
        (payments, "REFUND.CLOSED"),
        (payments, "MCHTRANSFER.BILL.FINISHED"),
        (transfers, "MCHTRANSFER.BILL.CREATED"),
        (transfers, "TRANSACTION.SUCCESS"),
    ):
        parsed = reader.read({}, json.dumps({"id": "EV-1", "event_type": event}).encode(), 0.0)
        assert (parsed.id, parsed.ignored, parsed.event) == ("EV-1", "unknown_event", None)
    for body in (b"[]", b'{"id": "EV-1"}', b'{"id": 5, "event_type": "TRANSACTION.SUCCESS"}'):
        assert payments.read({}, body, 0.0).refused == "unreadable"
    plain = json.dumps({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": 5})
    assert payments.read({}, plain.encode(), 0.0).refused == "decryption"


# ---- content

PAID = {
    "trade_state": "SUCCESS",
    "out_trade_no": "Q1",
    "transaction_id": "42",
    "appid": "wx",
    "payer": {"openid": "o"},
    "amount": {"total": 100, "payer_total": 90, "currency": "CNY"},
}
RETURNED = {"refund_status": "SUCCESS", "out_trade_no": "Q1", "refund_id": "5"}
BILL = {
    "out_bill_no": "W1",
    "transfer_bill_no": "13",
    "state": "SUCCESS",
    "transfer_amount": 100,
}


def test_amount_of_a_payment_includes_coupons_and_a_refunded_order_is_paid_for_a_query_only():
    assert payment_of(PAID).fen == 100
    refunded = {**PAID, "trade_state": "REFUND"}
    assert payment_of(refunded) is None
    assert payment_of(refunded, EVER_PAID) == payment_of(PAID)


def test_unfinished_payments_and_refunds_are_refused():
    for event, content in {
        "TRANSACTION.SUCCESS": {"trade_state": "NOTPAY"},
        "REFUND.SUCCESS": {"refund_status": "PROCESSING"},
    }.items():
        with pytest.raises(NotVerified, match="not_paid"):
            PAYMENTS[event](content)


@pytest.mark.parametrize(
    ("read", "content"),
    [
        *(
            (payment_of, {**PAID, **change})
            for change in (
                *({name: None} for name in ("out_trade_no", "transaction_id", "appid", "payer")),
                {"payer": {}},
                {"amount": {"currency": "CNY"}},
                {"amount": {"total": 100}},
            )
        ),
        (PAYMENTS["REFUND.SUCCESS"], {**RETURNED, "amount": {}}),
        (TRANSFERS[FINISHED], {name: BILL[name] for name in BILL if name != "transfer_amount"}),
        *(
            (transfer_of, {**BILL, **change})
            for change in (
                *({name: None} for name in ("out_bill_no", "transfer_bill_no", "transfer_amount")),
                {"state": "success"},
                {"openid": 5},
                {"package_info": "x" * 1025},
                {"fail_reason": [1]},
            )
        ),
    ],
)
def test_content_with_an_invalid_field_is_unreadable(read, content):
    with pytest.raises(Unreadable):
        read(content)


def test_longest_package_is_kept_and_a_long_reason_cut():
    """A long reason must not hide that a transfer has failed."""
    failed = {"state": "FAIL", "fail_reason": "x" * 300, "package_info": "x" * 1024}
    transfer = transfer_of({**BILL, **failed})
    expected = (TransferState.FAIL, "x" * 256, "x" * 1024)
    assert (transfer.state, transfer.fail_reason, transfer.package) == expected
