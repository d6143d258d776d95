"""Query, header and body schemas of the callbacks from Tencent and WeChat.

Written by hand: callback handlers parse their requests without models. Query and headers carry the
signature (in CSS the body does), the body the content. All names are the sender's.
"""

from typing import NamedTuple

from handlers.openapi.schemas import Json
from tencent.message_push import PLATFORM_EVENTS
from tencent.xpay import DELIVERED, REFUNDED

TEXT: Json = {"type": "string"}
STAMP: Json = {"type": "string", "pattern": "^[0-9]{1,12}$", "description": "Unix seconds."}
ENCRYPTED: Json = {"type": "string", "enum": ["aes"], "description": "Safe mode only."}


PUSHED_EVENTS = [DELIVERED, REFUNDED, *sorted(PLATFORM_EVENTS)]
"""What the message push of the mini-program reports."""


class WebhookSchema(NamedTuple):
    """Schemas of one callback; `sometimes` names the optional query parameters and headers."""

    query: dict[str, Json] = {}
    headers: dict[str, Json] = {}
    body: Json = {}
    sometimes: tuple[str, ...] = ()


def _text(description: str) -> Json:
    return {"type": "string", "description": f"{description}."}


WECHAT_PAY_HEADERS: dict[str, Json] = {
    "Wechatpay-Timestamp": STAMP,
    "Wechatpay-Nonce": TEXT,
    "Wechatpay-Serial": TEXT,
    "Wechatpay-Signature": _text("RSA with SHA-256, in base64"),
}


def _wechat_pay(event_type: str) -> WebhookSchema:
    return WebhookSchema(
        headers=WECHAT_PAY_HEADERS,
        body={
            "type": "object",
            "properties": {
                "id": TEXT,
                "event_type": {"type": "string", "examples": [event_type]},
                "resource": {"type": "object", "description": "Encrypted with the APIv3 key."},
            },
            "required": ["id", "event_type", "resource"],
        },
    )


WEBHOOKS = {
    "callbacks.ImCallback.post": WebhookSchema(
        query={
            "SdkAppid": {"type": "string", "pattern": "^[0-9]+$"},
            "CallbackCommand": _text("Same as in the body"),
            "RequestTime": STAMP,
            "Sign": _text("Hex SHA-256 of the token and RequestTime"),
            "contenttype": {"type": "string", "enum": ["json"]},
            "ClientIP": TEXT,
            "OptPlatform": TEXT,
        },
        body={
            "type": "object",
            "properties": {
                "CallbackCommand": TEXT,
                "EventTime": {"type": ["integer", "string"], "description": "Milliseconds."},
            },
            "required": ["CallbackCommand"],
        },
        sometimes=("contenttype", "ClientIP", "OptPlatform"),
    ),
    "callbacks.LiveCallback.post": WebhookSchema(
        body={
            "type": "object",
            "properties": {
                "sign": _text("Hex MD5 of the key and t"),
                "t": {"type": "integer", "description": "Expiry of the signature in Unix seconds."},
                "event_type": {"type": "integer", "description": "1: a push started, 0: it ended."},
                "stream_id": TEXT,
                "sequence": {
                    "type": "string",
                    "description": "Identifies a push; the same value at its start and end.",
                },
                "event_time": {"type": "integer", "description": "Unix seconds."},
            },
            "required": ["sign", "t", "event_type", "stream_id", "sequence", "event_time"],
        },
    ),
    "payments.JsapiNotice.post": _wechat_pay("TRANSACTION.SUCCESS"),
    "payments.TransferNotice.post": _wechat_pay("MCHTRANSFER.BILL.FINISHED"),
    "payments.XpayNotice.get": WebhookSchema(
        query={
            "signature": _text("Hex SHA-1 of the token, timestamp and nonce, sorted"),
            "timestamp": STAMP,
            "nonce": TEXT,
            "echostr": _text("Text to return in the response"),
        },
    ),
    "payments.XpayNotice.post": WebhookSchema(
        query={
            "signature": _text("Plain mode: hex SHA-1 of the token, timestamp and nonce, sorted"),
            "timestamp": STAMP,
            "nonce": TEXT,
            "encrypt_type": ENCRYPTED,
            "msg_signature": _text(
                "Safe mode: hex SHA-1 of the token, timestamp, nonce and Encrypt"
            ),
        },
        body={
            "type": "object",
            "properties": {
                "Encrypt": {
                    "type": "string",
                    "description": "Safe mode: the encrypted message.",
                },
                "Event": {
                    "type": "string",
                    "examples": PUSHED_EVENTS,
                    "description": f"One of {', '.join(PUSHED_EVENTS)}; others are ignored. In "
                    "safe mode a part of the encrypted message.",
                },
            },
        },
        sometimes=("signature", "encrypt_type", "msg_signature"),
    ),
}
