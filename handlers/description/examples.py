"""Values with which a call can be tried as it stands on a laptop with the demo's data."""

from typing import Any

VALUES: dict[str, Any] = {
    "appId": "wxca891295c56f2c79",
    "name": "hongniang1",
    "gender": 2,
    "live_id": 1,
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
    "price": "6.00",
    "key": "A_TRY",
}
"""By parameter, whichever call it is of. A user_id is random and a code works once: those come
from the answers."""


def example(name: str) -> dict[str, Any]:
    """The keyword for a schema, if there is a value."""
    return {"examples": [VALUES[name]]} if name in VALUES else {}
