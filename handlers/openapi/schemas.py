"""JSON Schemas of request and response models, named after their classes."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import TypeAdapter

Mode = Literal["validation", "serialization"]
Json = dict[str, Any]
SCHEMA_REF_PREFIX = "#/components/schemas/"

_KEYWORDS = {"ge": "minimum", "le": "maximum"}
"""Limits behind a custom validator, which pydantic writes in its own keywords."""


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
