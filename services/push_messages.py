"""Message pushes of the mini-program as they are kept in the inbox."""

import json
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from storage.inbox import InboxMessage
from tencent.message_push import PLATFORM_EVENT_IDENTITIES, MessagePush
from tencent.xpay import DELIVERED, REFUNDED
from tencent.xpay import PROVIDER as XPAY

IDENTITY_FIELDS = {
    DELIVERED: ("Event", "OutTradeNo"),
    REFUNDED: ("Event", "WxRefundId", "RetCode"),  # a failed refund may succeed later
    **PLATFORM_EVENT_IDENTITIES,
}
PER_DELIVERY_FIELDS = ("CreateTime", "RetryTimes", "RequestId")
"""Fields that may differ between deliveries of one event."""
ENCRYPTED = "yes"
"""Stored value of `sealed` for an encrypted push."""


def message_of(push: MessagePush, query: Mapping[str, str], body: bytes) -> InboxMessage:
    """A push as it was received; its content is kept decrypted, signatures are left out."""
    # `sealed` overrides a parameter of that name in the request.
    kept = {name: value for name, value in query.items() if "signature" not in name}
    kept["sealed"] = ENCRYPTED if push.encrypted else "no"
    if push.refused:
        message_id = raw = body.decode(errors="replace")
    else:
        message_id, raw = _message_id(push), json.dumps(push.content, ensure_ascii=False)
    return InboxMessage(XPAY, message_id, urlencode(kept), raw)


def push_of(message: InboxMessage) -> MessagePush:
    """The verified push that was kept as `message`."""
    encrypted = dict(parse_qsl(message.query)).get("sealed") == ENCRYPTED
    return MessagePush(json.loads(message.raw), encrypted=encrypted)


def _message_id(push: MessagePush) -> str:
    """Deduplication key, equal for every retry: WeChat's identity and a hash of the content.

    With the hash, a message of other content cannot block the genuine one.
    """
    content = push.content
    names = IDENTITY_FIELDS.get(str(content.get("Event")), ("Event", "FromUserName", "CreateTime"))
    identity = ":".join(str(content.get(name, "")) for name in names)
    lasting = {key: value for key, value in content.items() if key not in PER_DELIVERY_FIELDS}
    return f"{identity}:{sha256(repr(lasting).encode()).hexdigest()}"
