from datetime import timedelta

from ledger.bills import Bill, WithdrawalState, withdrawal_of
from ledger.transfers import TransferBody
from tests.support.withdrawals import FIRST, ID, NOW, SECOND

BODY = TransferBody("body", "PUB_KEY_ID_1")
LATER = NOW + timedelta(minutes=5)


def test_a_bill_number_names_its_withdrawal() -> None:
    assert withdrawal_of(SECOND) == ID


def test_a_bill_keeps_what_was_sent_and_when_it_was_first() -> None:
    bill = Bill(FIRST, 1_000, 100, WithdrawalState.APPROVED).submit(BODY, NOW)
    assert (bill.state, bill.sent_body, bill.sent_at, bill.last_sent_at) == (
        *("submitted", BODY, NOW, NOW),
    )
    again = bill.resend(bill.sent_body, LATER)
    assert (again.sent_body, again.sent_at, again.last_sent_at) == (BODY, NOW, LATER)


def test_a_bill_that_is_given_back_is_final() -> None:
    bill = Bill(FIRST, 1_000, 100).give_back(NOW, "NO_AUTH")
    assert (bill.state, bill.finished_at, bill.fail_reason) == ("returned", NOW, "NO_AUTH")
