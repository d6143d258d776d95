"""The signatures of mini-program virtual payment (xpay): the phone's and the server's.

Each is over the exact text that is sent. Source: WeChat, "virtual payment", signatures.
"""

import hmac
from hashlib import sha256

ASKED_BY_PHONE = "requestVirtualPayment"


def pay_sig(app_key: str, called: str, text: str) -> str:
    """hex; `called` is the path ("/xpay/query_order", no query) or ASKED_BY_PHONE."""
    return _signed(app_key, f"{called}&{text}")


def signature(session_key: str, text: str) -> str:
    """hex; proves that the user of this session wants it. The key is used as it is written."""
    return _signed(session_key, text)


def _signed(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), sha256).hexdigest()
