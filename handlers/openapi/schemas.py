"""JSON Schemas of models, named after their classes, and example values of their fields.

With the examples every request can be executed against the demo data.
"""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import TypeAdapter

Mode = Literal["validation", "serialization"]
Json = dict[str, Any]
SCHEMA_REF_PREFIX = "#/components/schemas/"

_KEYWORDS = {"ge": "minimum", "le": "maximum"}
"""Limits behind a custom validator, which pydantic writes in its own keywords."""

PLACEHOLDERS: dict[str, Any] = {
    "user_id": "00000000",
    "live_id": 1,
    "code": "of wx.login",
    "encryptedData": "of wx.getUserInfo",
    "iv": "of wx.getUserInfo",
    "content": "of POST qlive_pay/",
    "package": "of POST qlive_pay/withdraw/",
    "entry": "of /ops/api/ledger",
    "id": "of /ops/api/inbox",
    "approval_id": "0" * 24,
    "case_id": "R" + "0" * 28,
    "item_id": "0" * 24,
    "withdrawal_id": "W" + "0" * 28,
    "webhook_id": "0" * 24,
    "delivery_id": "msg_" + "0" * 24,
}
"""Placeholders for values known only at run time: user_ids are random, a code works once.

The page at /docs/ replaces them with the latest values from earlier responses.
"""

VALUES: dict[str, Any] = {
    **PLACEHOLDERS,
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
    "height": 168,
    "room_name": "老乡会",
    "like_state": 1,
    "minutes": 60,
    "number": 1,
    "reason": "a try",
    "gold": 100,
    "request_id": "a-try-1",
    "paid_by": "house",
    "order": "Q" + "0" * 30,
    "orders": ["Q" + "0" * 30],
    "income": 100,
    "price": "6.00",
    "key": "A_TRY",
}
"""Example by parameter name, used when the parameter's schema has none."""

OMITTED_IF_OPTIONAL = ("user_id", "gender", "request_id", "key")
"""Parameters that get an example only where required: without them a request is more useful.

Left out, `user_id` means the caller, `gender` the user's own and `request_id` a new gift.
"""


class SchemaRegistry:
    """`of` returns the schema of a model, `components` the schemas it refers to."""

    def __init__(self, requests: Iterable[Any], responses: Iterable[Any]) -> None:
        """Take models: `requests` are validated, `responses` serialized."""
        models: list[tuple[Any, Mode]] = [
            *((model, "validation") for model in dict.fromkeys(requests)),
            *((model, "serialization") for model in dict.fromkeys(responses)),
        ]
        inputs = [(model, mode, TypeAdapter(model)) for model, mode in models]
        found, rest = TypeAdapter.json_schemas(inputs, ref_template=SCHEMA_REF_PREFIX + "{model}")
        definitions = rest.get("$defs", {})
        self._schemas = {key: _tidy(schema) for key, schema in found.items()}
        self.components: dict[str, Json] = {
            name: _tidy(schema) for name, schema in sorted(definitions.items())
        }

    def of(self, model: Any, mode: Mode) -> Json:
        schema: Json = self._schemas[model, mode]
        return schema

    def whole(self, schema: Json) -> Json:
        """Resolve a schema that is only a reference."""
        name = str(schema.get("$ref", "")).removeprefix(SCHEMA_REF_PREFIX)
        return self.components[name] if name else schema


def _tidy(schema: Any) -> Any:
    """Keep keywords of JSON Schema only, without titles, which repeat the names."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidy: Json = {}
    for key, value in schema.items():
        if key == "properties":
            tidy[key] = {name: _tidy(part) for name, part in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            tidy[key] = value
        elif key != "title":
            tidy[str(_KEYWORDS.get(key, key))] = _tidy(value)
    return tidy


def example(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    """Return the `examples` keyword for a parameter's schema, or {} if there is no value."""
    own = schema.get("examples") or [
        choice["examples"][0] for choice in schema.get("anyOf", ()) if "examples" in choice
    ]
    if own:
        return {"examples": own}
    if name not in VALUES or (name in OMITTED_IF_OPTIONAL and not required):
        return {}
    return {"examples": [VALUES[name]]}
