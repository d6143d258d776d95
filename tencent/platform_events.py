"""Events of the message push that move no gold: questions, complaints, punishments, consent.

Sources: WeChat, "virtual payment on iOS", "virtual payment callbacks", "penalty for violation",
"user information: withdrawn authorization". The fields of xpay_wxpay_callback_notify are known from
samples only.
"""

from collections.abc import Mapping
from typing import Any

from tencent.json_reader import text

REFUND_QUESTION = "xpay_subscribe_ios_refund_query_notify"
"""Apple asks through WeChat whether to refund an order, up to three times, for 3 s each. The name
says subscription; it comes for ordinary orders, too."""
COIN_PAYMENT = "xpay_coin_pay_notify"
COMPLAINT = "xpay_complaint_notify"
MERCHANT_STATE = "xpay_wxpay_callback_notify"
PUNISHMENT = "wxa_punish_event"
CONSENT_REVOKED = "user_authorization_revoke"
ACCOUNT_CLOSED = "user_authorization_cancellation"

IDENTITY_FIELDS: Mapping[str, tuple[str, ...]] = {
    REFUND_QUESTION: ("Event", "pay_order_id", "refund_time"),
    COIN_PAYMENT: ("Event", "OutTradeNo"),
    COMPLAINT: ("Event", "ComplaintId"),
    MERCHANT_STATE: ("Event", "MerchantCode", "BusinessCode", "BusinessTime"),
    PUNISHMENT: ("Event", "punish_id"),
    CONSENT_REVOKED: ("Event", "OpenID", "CreateTime"),
    ACCOUNT_CLOSED: ("Event", "OpenID", "CreateTime"),
}
"""By event, the fields that are equal in every delivery of it."""
PLATFORM_EVENTS = frozenset(IDENTITY_FIELDS)
ATTENTION = PLATFORM_EVENTS - {REFUND_QUESTION}
"""Events on which a person has to act."""


def event_name(content: Mapping[str, Any]) -> str:
    """The event if it is one of PLATFORM_EVENTS, otherwise ""."""
    name = str(content.get("Event"))
    return name if name in PLATFORM_EVENTS else ""


def order_in_question(content: Mapping[str, Any]) -> str:
    """Our order number in Apple's question. Unreadable."""
    return text(content, "pay_order_id")
