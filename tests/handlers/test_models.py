"""TypedDicts are rebuilt for pydantic without a change of their fields."""

from typing import Any, TypedDict

import pytest
from pydantic import TypeAdapter, ValidationError

from handlers.models import pydantic_type


class Seat(TypedDict):
    user_id: str


class Table(TypedDict):
    """A table."""

    host: Seat
    guests: list[Seat]
    free: Seat | None


def test_nested_typed_dicts_are_validated_and_keep_name_and_docstring() -> None:
    adapter = TypeAdapter(pydantic_type(Table))
    table: dict[str, Any] = {"host": {"user_id": "1"}, "guests": [{"user_id": "2"}], "free": None}
    assert adapter.validate_python(table) == table
    for broken in ({"host": {}}, {"guests": [{}]}, {"free": {}}):
        with pytest.raises(ValidationError):
            adapter.validate_python(table | broken)
    schema = adapter.json_schema()
    assert (schema["title"], schema["description"]) == ("Table", "A table.")
    assert set(schema["$defs"]) == {"Seat"}
    assert pydantic_type(Seat) is pydantic_type(Seat), "the same type is built once"
