"""JSON Schemas of request and response models, under their published names."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import TypeAdapter

Mode = Literal["validation", "serialization"]
Json = dict[str, Any]
SCHEMA_REF_PREFIX = "#/components/schemas/"

PUBLIC_NAMES = {
    "AudienceData": "Crowd",
    "BalanceResponse": "Granted",
    "CssAckResponse": "LiveHeard",
    "ErrorResponse": "Refused",
    "GiftTotalsResponse": "Given",
    "IdSearchRequest": "NumberSearch",
    "ImAckResponse": "ImHeard",
    "InboxMessageResponse": "Report",
    "LedgerCheckResponse": "BookState",
    "LiftRoomBanRequest": "LetIn",
    "LoginRequest": "LoginAsk",
    "MicPresence": "Moment",
    "NoContentResponse": "Nothing",
    "OpsRemoveUserRequest": "OpsPutOut",
    "OpsUserResponse": "Person",
    "OpsUsersResponse": "People",
    "OptionalUserRequest": "SomeUser",
    "OverviewResponse": "AtAGlance",
    "PaidOrdersResponse": "Sold",
    "PostingResponse": "Line",
    "ProfileChange": "Profile",
    "ReceiverResponse": "Taking",
    "RefusedCallbacksResponse": "RefusedReports",
    "RemoveUserRequest": "PutOut",
    "RetryRequest": "Again",
    "RoomBanView": "KeptOut",
    "RoomDetailRequest": "RoomLook",
    "RoomDetailResponse": "RoomInside",
    "RoomEventView": "Happening",
    "RoomMemberView": "Inmate",
    "RoomMembersResponse": "Inside",
    "SimulatorErrorResponse": "Wrong",
    "UserRequest": "TheUser",
    "UserSearchRequest": "PeopleSearch",
    "WechatLoginResponse": "FromWechat",
    "XpayAckResponse": "XpayHeard",
}
"""Published names of classes renamed since: clients may rely on the old name."""

_KEYWORDS = {"ge": "minimum", "le": "maximum"}
"""Limits behind a custom validator, which pydantic writes in its own keywords."""


class SchemaRegistry:
    """`of` returns the schema of a model, `components` the schemas it refers to."""

    def __init__(self, requests: Iterable[Any], responses: Iterable[Any]) -> None:
        """`requests` are validated, `responses` serialized models."""
        models: list[tuple[Any, Mode]] = [
            *((model, "validation") for model in dict.fromkeys(requests)),
            *((model, "serialization") for model in dict.fromkeys(responses)),
        ]
        inputs = [(model, mode, TypeAdapter(model)) for model, mode in models]
        found, rest = TypeAdapter.json_schemas(inputs, ref_template=SCHEMA_REF_PREFIX + "{model}")
        definitions = rest.get("$defs", {})
        names = {name: public_name(name) for name in definitions}
        assert len(set(names.values())) == len(names), "two models would have one name"
        self._schemas = {key: _tidy(schema, names) for key, schema in found.items()}
        self.components: dict[str, Json] = {
            names[name]: _tidy(definitions[name], names)
            for name in sorted(definitions, key=lambda name: names[name])
        }

    def of(self, model: Any, mode: Mode) -> Json:
        schema: Json = self._schemas[model, mode]
        return schema

    def whole(self, schema: Json) -> Json:
        """Resolves a schema that is only a reference."""
        name = str(schema.get("$ref", "")).removeprefix(SCHEMA_REF_PREFIX)
        return self.components[name] if name else schema


def public_name(name: str) -> str:
    """Name of a class in the published documents, where it never changes."""
    if name in PUBLIC_NAMES:
        return PUBLIC_NAMES[name]
    if page := re.fullmatch(r"Page_(\w+)_", name):
        return f"PageOf{public_name(page[1])}"
    for suffix in ("Request", "Response", "Frame", "Event"):
        name = name.removesuffix(suffix)
    return name


def _tidy(schema: Any, names: Mapping[str, str]) -> Any:
    """Keywords of JSON Schema only, no titles (they repeat the names), references renamed."""
    if isinstance(schema, list):
        return [_tidy(part, names) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidy: Json = {}
    for key, value in schema.items():
        if key == "$ref":
            tidy[key] = SCHEMA_REF_PREFIX + names[value.removeprefix(SCHEMA_REF_PREFIX)]
        elif key == "properties":
            tidy[key] = {name: _tidy(part, names) for name, part in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            tidy[key] = value
        elif key != "title":
            tidy[str(_KEYWORDS.get(key, key))] = _tidy(value, names)
    return tidy
