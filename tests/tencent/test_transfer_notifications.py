import json
from dataclasses import replace
from typing import Any

import pytest

from ledger.transfers import Transfer, TransferMismatch, TransferState
from tencent.errors import NotVerified, Unreadable
from tencent.pay_signatures import read_key
from tencent.transfer_notifications import TransferNotifications, transfer_of
from tests.support.withdrawals import NOW, submitted

Vectors = dict[str, Any]
PAID = Transfer(
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
    "reject_decrypt": "seal",
    "reject_mchid": "merchant",
    "reject_state": "not_final",
}


@pytest.fixture
def notifications(transfer_vectors: Vectors) -> TransferNotifications:
    platform = transfer_vectors["platform"]
    keys = {platform["public_key_id"]: read_key(platform["public_key_pem"])}
    return TransferNotifications(transfer_vectors["mchid"], keys, transfer_vectors["apiv3_key"])


def test_notification_vectors_are_accepted_or_refused(
    notifications: TransferNotifications, transfer_vectors: Vectors
) -> None:
    cases = transfer_vectors["notifications"]
    assert len(cases) == 13
    for case in cases:
        parsed = notifications.read(case["headers"], case["body"].encode(), case["now"])
        transfer, plain = parsed.transfer, json.loads(case["plaintext"])
        if case["name"] == "WeChat Pay's signature probe":
            assert (transfer, parsed.refused) == (None, "probe")
        elif case["expect"] in REFUSALS:
            assert (transfer, parsed.refused) == (None, REFUSALS[case["expect"]]), case["name"]
        elif case["expect"] == "reject_amount":  # compared with the withdrawal, not here
            assert transfer
            assert mismatch_of(transfer, transfer_vectors["expected_amount"]) == "amount"
        else:
            assert case["expect"] == "ok"
            assert (parsed.id, parsed.refused, parsed.ignored) == ("EV-b3Rk1Jpz", "", "")
            assert transfer
            assert mismatch_of(transfer, transfer_vectors["expected_amount"]) == ""
            assert (transfer.number, transfer.fen) == (PAID.number, PAID.fen)
            assert transfer.state == plain["state"]
            assert transfer.fail_reason == plain.get("fail_reason", "")
    assert {case["expect"] for case in cases} == {"ok", "reject_amount", *REFUSALS}


def mismatch_of(transfer: Transfer, fen: int) -> str:
    """Why a submitted withdrawal of `fen` refuses what was read, else ""."""
    withdrawal = replace(submitted(), fen=fen, openid=PAID.openid or "")
    try:
        withdrawal.apply(transfer, NOW)
    except TransferMismatch as mismatch:
        return mismatch.reason
    return ""


def test_verified_notification_is_read_again_without_its_headers(
    notifications: TransferNotifications, transfer_vectors: Vectors
) -> None:
    body = transfer_vectors["notifications"][0]["body"].encode()
    assert notifications.read_verified(body) == PAID


def test_refused_notification_id_depends_on_its_bytes_only(
    notifications: TransferNotifications,
) -> None:
    bodies = [b"{}", b"{}", b"[]", b"\xff", b"[" * 50_000]
    parsed = [notifications.read({}, body, 0.0) for body in bodies]
    assert all(notification.refused == "unreadable" for notification in parsed)
    assert parsed[0].id == parsed[1].id
    assert len({notification.id for notification in parsed}) == 4


def test_other_event_types_are_ignored_and_invalid_bodies_refused(
    notifications: TransferNotifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tencent.transfer_notifications.verify", lambda *_args: None)
    for event in ("TRANSACTION.SUCCESS", "MCHTRANSFER.BILL.CREATED"):
        parsed = notifications.read(
            {}, json.dumps({"id": "EV-1", "event_type": event}).encode(), 0.0
        )
        assert (parsed.id, parsed.ignored, parsed.transfer) == ("EV-1", "unknown_event", None)
    finished = {"id": "EV-1", "event_type": "MCHTRANSFER.BILL.FINISHED", "resource": 5}
    assert notifications.read({}, json.dumps(finished).encode(), 0.0).refused == "seal"
    for body in (b"[]", b'{"id": "EV-1"}', b'{"id": 5, "event_type": "x"}'):
        assert notifications.read({}, body, 0.0).refused == "unreadable"


CONTENT = {
    "out_bill_no": "W1",
    "transfer_bill_no": "13",
    "state": "SUCCESS",
    "mchid": "1900000109",
    "transfer_amount": 100,
}


def test_either_name_of_the_merchant_is_read_and_an_amount_required(
    notifications: TransferNotifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = dict(CONTENT)
    monkeypatch.setattr(
        "tencent.transfer_notifications.decrypt_resource", lambda *_args: dict(content)
    )
    body = b'{"event_type": "MCHTRANSFER.BILL.FINISHED"}'
    assert notifications.read_verified(body) == Transfer("W1", TransferState.SUCCESS, "13", 100)
    content["mch_id"] = content.pop("mchid")
    assert notifications.read_verified(body)
    del content["transfer_amount"]
    with pytest.raises(Unreadable):
        notifications.read_verified(body)
    del content["mch_id"]
    with pytest.raises(NotVerified, match="merchant"):
        notifications.read_verified(body)


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
