"""Errors raised by the rules of the ledger.

EntryExists and ReportRefused never reach a client: the transaction has already been carried out, or
what WeChat reports does not fit.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from core.errors import NotFound, PermissionDenied, StateConflict


class InsufficientGold(StateConflict):
    code, detail = "insufficient_gold", "Insufficient gold."


class RequestIdReused(StateConflict):
    code, detail = "request_id_reused", "This request_id was used for a different request."


class NotReversible(StateConflict):
    code = "not_reversible"
    detail = "Reversals are final; a recharge is reversed by refunding its payment."


class DebtExceeded(StateConflict):
    code, detail = "not_owed", "The amount exceeds the debt."


class OrderNotSettleable(StateConflict):
    code = "not_settleable"
    detail = "Only a refund that is left to Apple or has a problem can be settled, once it is due."


class TooLittle(StateConflict):
    code, detail = "too_little", "The amount is too small to be paid out."


class IncomeNotMatured(StateConflict):
    """Also for income that the user does not have at all."""

    code, detail = "income_not_matured", "Not so much income can be withdrawn yet."


class OverLimit(StateConflict):
    code, detail = "over_limit", "The amount is over a limit of withdrawals."

    def __init__(self, limit: Literal["", "transfer", "requests", "user_day", "day"] = "") -> None:
        super().__init__(f"The amount is over a limit of withdrawals: {limit}." if limit else None)


class RealNameNeeded(StateConflict):
    code, detail = "real_name_needed", "WeChat Pay requires your real name for this amount."


class WithdrawalsStopped(StateConflict):
    code = "withdrawals_stopped"
    detail = "Withdrawals are stopped while a refund that concerns your income is decided."


class NotCancellable(StateConflict):
    code, detail = "not_cancellable", "The withdrawal is paid or returned already."


class ConfirmationNeeded(StateConflict):
    code = "confirmation_needed"
    detail = "You have given much already; send the gift again with confirm: true."


class OverGiftCap(PermissionDenied):
    code, detail = "over_gift_cap", "One gift may not cost so much."


class OverDayCap(PermissionDenied):
    code, detail = "over_day_cap", "This would be more than you may give on one day."


class OverMonthCap(PermissionDenied):
    code, detail = "over_month_cap", "This would be more than you may give in one month."


class CoolingOff(PermissionDenied):
    code = "cooling_off"
    detail = "You have given much within minutes; take a break of some minutes."


class WithdrawalNotFound(NotFound):
    code, detail = "no_such_withdrawal", "There is no such withdrawal."


class EntryNotFound(NotFound):
    code, detail = "no_such_entry", "There is no such journal entry."


class EntryExists(Exception):
    """The journal already has an entry with this idempotency key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class RefusalReason(StrEnum):
    """Why a payment, refund or transfer is refused: a stored word, and a label on /metrics."""

    ORDER = "order"  # there is no such order
    NOT_PAID = "not_paid"  # a refund before its payment was credited
    PROVIDER = "provider"
    APP = "app"
    PAYER = "payer"
    SANDBOX = "sandbox"
    PRODUCT = "product"
    CURRENCY = "currency"
    AMOUNT = "amount"
    BILL = "bill"  # there is no such withdrawal, or WeChat Pay has named another number of it
    PAYEE = "payee"
    STATE = "state"  # of a withdrawal: not submitted yet, or final in another way


class ReportRefused(Exception):
    """A verified payment, refund or transfer does not match what is stored here."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse_mismatch(matches: Mapping[RefusalReason, bool]) -> None:
    """Raise ReportRefused with the first reason that does not match."""
    for reason, matched in matches.items():
        if not matched:
            raise ReportRefused(reason)
