"""JSON Schemas of the models of the calls, under names that a reader can use."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import TypeAdapter

Mode = Literal["validation", "serialization"]
Json = dict[str, Any]
REF = "#/components/schemas/"

_KEYWORDS = {"ge": "minimum", "le": "maximum"}
"""What pydantic leaves in its own words where a limit stands behind a validator of ours."""


class Schemas:
    """`of` gives a reference for a model; `components` is what the references lead to."""

    def __init__(self, asks: Iterable[Any], answers: Iterable[Any]) -> None:
        """`asks` are read (validation), `answers` are written (serialization)."""
        wanted: list[tuple[Any, Mode]] = [
            *((model, "validation") for model in dict.fromkeys(asks)),
            *((model, "serialization") for model in dict.fromkeys(answers)),
        ]
        inputs = [(model, mode, TypeAdapter(model)) for model, mode in wanted]
        found, rest = TypeAdapter.json_schemas(inputs, ref_template=REF + "{model}")
        definitions = rest.get("$defs", {})
        names = {name: _plain(name) for name in definitions}
        assert len(set(names.values())) == len(names), "two models would have one name"
        self._of = {key: _tidy(schema, names) for key, schema in found.items()}
        self.components: dict[str, Json] = {
            names[name]: _tidy(schema, names) for name, schema in definitions.items()
        }

    def of(self, model: Any, mode: Mode) -> Json:
        schema: Json = self._of[model, mode]
        return schema

    def whole(self, schema: Json) -> Json:
        """The schema itself where this one only refers to it."""
        name = str(schema.get("$ref", "")).removeprefix(REF)
        return self.components[name] if name else schema


def _plain(name: str) -> str:
    """Without the module that pydantic adds where two models have one name."""
    module, _, last = name.rpartition("__")
    last = last.replace("-Input", "Ask").replace("-Output", "")
    return f"Ops{last}" if "__ops__" in module else last


def _tidy(schema: Any, names: Mapping[str, str]) -> Any:
    """Keywords of JSON Schema only, no titles (they repeat the names), references renamed."""
    if isinstance(schema, list):
        return [_tidy(part, names) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidy: Json = {}
    for key, value in schema.items():
        if key == "$ref":
            tidy[key] = REF + names[value.removeprefix(REF)]
        elif key == "properties":
            tidy[key] = {name: _tidy(part, names) for name, part in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            tidy[key] = value
        elif key != "title":
            tidy[str(_KEYWORDS.get(key, key))] = _tidy(value, names)
    return tidy
