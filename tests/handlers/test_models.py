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


TABLE: dict[str, Any] = {"host": {"user_id": "1"}, "guests": [{"user_id": "2"}], "free": None}


def test_nested_typed_dicts_are_validated() -> None:
    table = TypeAdapter(pydantic_type(Table))
    assert table.validate_python(TABLE) == TABLE
    for broken in ({"host": {}}, {"guests": [{}]}, {"free": {}}):
        with pytest.raises(ValidationError):
            table.validate_python(TABLE | broken)


def test_name_and_docstring_are_kept() -> None:
    schema = TypeAdapter(pydantic_type(Table)).json_schema()
    assert (schema["title"], schema["description"]) == ("Table", "A table.")
    assert set(schema["$defs"]) == {"Seat"}


def test_the_same_type_is_built_once() -> None:
    assert pydantic_type(Seat) is pydantic_type(Seat)


def test_other_types_stay_as_they_are() -> None:
    assert pydantic_type(int) is int
