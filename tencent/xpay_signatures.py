"""HMAC signatures of mini-program virtual payment (xpay), for phone and server.

Each covers the exact text that is sent. Source: WeChat, "virtual payment", signatures.
"""

import hmac
from hashlib import sha256

CLIENT_CALL = "requestVirtualPayment"


def pay_sig(app_key: str, target: str, text: str) -> str:
    """Signature in hex; `target` is the path ("/xpay/query_order", no query) or CLIENT_CALL."""
    return _hmac_sha256(app_key, f"{target}&{text}")


def user_signature(session_key: str, text: str) -> str:
    """Proof of the user's consent in hex; the key is used as base64 text, not decoded."""
    return _hmac_sha256(session_key, text)


def _hmac_sha256(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), sha256).hexdigest()
