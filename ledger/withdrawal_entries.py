"""Journal entries of a withdrawal, and their keys: each bill is paid or returned once."""

from ledger.bills import Bill, withdrawal_of
from ledger.journal import HOUSE, JournalEntry, Posting, held_account, user_account

WECHAT = "wechat"
"""`by` of the entries that a statement of WeChat Pay causes."""


def withdrawal_key(user_id: str, request_id: str) -> str:
    """Idempotency key of the only entry of a request to withdraw."""
    return f"withdrawal:{user_id}:{request_id}"


def payout_key(bill: str) -> str:
    return f"payout:{bill}"


def return_key(bill: str) -> str:
    return f"return:{bill}"


def payout_entry(bill: Bill) -> JournalEntry:
    """The bill is paid: its income leaves the hold for the house."""
    content = {
        "withdrawal": withdrawal_of(bill.number),
        "bill": bill.number,
        "fen": bill.fen,
        "wechat_number": bill.wechat_number,
    }
    lines = _out_of_hold(bill, HOUSE)
    return JournalEntry(payout_key(bill.number), "payout", WECHAT, lines, content)


def return_entry(bill: Bill, user_id: str, by: str, reason: str) -> JournalEntry:
    """The bill is not paid: its income leaves the hold for the user."""
    content = {
        "withdrawal": withdrawal_of(bill.number),
        "bill": bill.number,
        "fen": bill.fen,
        "reason": reason,
    }
    lines = _out_of_hold(bill, user_account(user_id))
    return JournalEntry(return_key(bill.number), "return", by, lines, content)


def _out_of_hold(bill: Bill, account: str) -> tuple[Posting, ...]:
    held = Posting(held_account(withdrawal_of(bill.number)), "income", -bill.income)
    return (held, Posting(account, "income", bill.income)) if bill.income else ()
