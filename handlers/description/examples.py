"""Values with which a call can be tried as it stands on a laptop with the demo's data."""

from typing import Any

FROM_ANSWERS: dict[str, Any] = {
    "user_id": "00000000",
    "live_id": 1,
    "code": "of wx.login",
    "encryptedData": "of wx.getUserInfo",
    "iv": "of wx.getUserInfo",
    "content": "of POST qlive_pay/",
    "entry": "of /ops/api/ledger",
    "id": "of /ops/api/inbox",
}
"""What nobody can know beforehand: user_ids are random, a code works once. The page at /docs/ puts
what an answer has named last in the place of these."""

VALUES: dict[str, Any] = {
    **FROM_ANSWERS,
    "appId": "wxca891295c56f2c79",
    "name": "hongniang1",
    "gender": 2,
    "gift_id": 1,
    "block_id": 1,
    "page": 1,
    "num": 1,
    "nickname": "小雨",
    "age": 28,
    "area": "310100",
    "like_state": 1,
    "minutes": 60,
    "number": 1,
    "reason": "a try",
    "gold": 100,
    "request_id": "a-try-1",
    "paid_by": "house",
    "price": "6.00",
    "key": "A_TRY",
}
"""By parameter, for where its own schema says nothing better."""

BETTER_WITHOUT = ("user_id", "gender", "request_id", "key")
"""Where it may be left out, its absence says more: oneself, whatever somebody is, a new gift."""


def example(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    """The keyword for a schema, if there is a value."""
    said = schema.get("examples") or [
        choice["examples"][0] for choice in schema.get("anyOf", ()) if "examples" in choice
    ]
    if said:
        return {"examples": said}
    if name not in VALUES or (name in BETTER_WITHOUT and not required):
        return {}
    return {"examples": [VALUES[name]]}
