"""What Tencent and WeChat send with their reports; it is read in their own ways, so it stands here.

`query` and `headers` are what a report is proven by, `body` what it says. Their names are theirs.
"""

from typing import NamedTuple

from handlers.description.schemas import Json

TEXT: Json = {"type": "string"}
STAMP: Json = {"type": "string", "pattern": "^[0-9]{1,12}$", "description": "Unix seconds."}
ENCRYPTED: Json = {"type": "string", "enum": ["aes"], "description": "In safe mode."}


class Report(NamedTuple):
    """Parameters that are not always sent stand in `sometimes`, too."""

    query: dict[str, Json] = {}
    headers: dict[str, Json] = {}
    body: Json = {}
    sometimes: tuple[str, ...] = ()


def _signed(word: str) -> Json:
    return {"type": "string", "description": f"{word}."}


REPORTS = {
    "callbacks.ImCallback.post": Report(
        query={
            "SdkAppid": {"type": "string", "pattern": "^[0-9]+$"},
            "CallbackCommand": _signed("As in the body"),
            "RequestTime": STAMP,
            "Sign": _signed("hex SHA-256 of the token and RequestTime"),
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
    "callbacks.LiveCallback.post": Report(
        body={
            "type": "object",
            "properties": {
                "sign": _signed("hex MD5 of the key and t"),
                "t": {"type": "integer", "description": "Unix seconds, when the sign expires."},
                "event_type": {"type": "integer", "description": "1 a push begins, 0 it ends."},
                "stream_id": TEXT,
                "sequence": {"type": "string", "description": "The same of a push and its end."},
                "event_time": {"type": "integer", "description": "Unix seconds."},
            },
            "required": ["sign", "t", "event_type", "stream_id", "sequence", "event_time"],
        },
    ),
    "payments.JsapiNotice.post": Report(
        headers={
            "Wechatpay-Timestamp": STAMP,
            "Wechatpay-Nonce": TEXT,
            "Wechatpay-Serial": TEXT,
            "Wechatpay-Signature": _signed("RSA with SHA-256, in base64"),
        },
        body={
            "type": "object",
            "properties": {
                "id": TEXT,
                "event_type": {"type": "string", "examples": ["TRANSACTION.SUCCESS"]},
                "resource": {"type": "object", "description": "Sealed with the APIv3 key."},
            },
            "required": ["id", "event_type", "resource"],
        },
    ),
    "payments.XpayNotice.get": Report(
        query={
            "signature": _signed("hex SHA-1 of the token, timestamp and nonce, sorted"),
            "timestamp": STAMP,
            "nonce": TEXT,
            "echostr": _signed("What is to be answered"),
        },
    ),
    "payments.XpayNotice.post": Report(
        query={
            "signature": _signed("In plain mode: hex SHA-1 of the token, timestamp and nonce"),
            "timestamp": STAMP,
            "nonce": TEXT,
            "encrypt_type": ENCRYPTED,
            "msg_signature": _signed("In safe mode: of Encrypt as well"),
        },
        body={
            "type": "object",
            "properties": {
                "Encrypt": {"type": "string", "description": "In safe mode, and nothing else."},
                "Event": {"type": "string", "examples": ["xpay_goods_deliver_notify"]},
            },
        },
        sometimes=("signature", "encrypt_type", "msg_signature"),
    ),
}
