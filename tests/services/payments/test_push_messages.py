from services.payments.payment_notifications import message_of, push_of
from tencent.message_push import MessagePush

DELIVERY = {
    "Event": "xpay_goods_deliver_notify",
    "OpenId": "o1",
    "OutTradeNo": "Q1",
    "Env": 0,
    "GoodsInfo": {"ProductId": "gold_60", "Quantity": 1, "OrigPrice": 600},
}
STORED_ID = (
    "xpay_goods_deliver_notify:Q1:f196f3fc34ea0edc0ff90598bd9074fd7053c895ae513a6b2cee15c5ef0d117c"
)
"""As in the databases of released servers: another one would process a repeated event again."""


def test_id_of_an_event_is_made_of_its_identity_and_content() -> None:
    push = MessagePush(DELIVERY | {"CreateTime": 7, "RetryTimes": 2}, encrypted=True)
    message = message_of(push, {"signature": "s", "timestamp": "1"}, b"")
    assert message.id == STORED_ID
    assert message.query == "timestamp=1&encrypted=yes"
    assert push_of(message) == push
