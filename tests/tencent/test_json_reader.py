import pytest

from tencent.errors import Unreadable
from tencent.json_reader import child, digits, number, objects, read_object, text

NOT_OBJECTS = [b"", b"{", b"[]", b"null", b"\xff", b"<xml></xml>", b"[" * 50_000]


@pytest.mark.parametrize("body", NOT_OBJECTS)
def test_a_body_that_is_not_a_json_object_is_unreadable(body):
    with pytest.raises(Unreadable):
        read_object(body)


def test_a_lone_surrogate_is_unreadable_where_the_content_is_stored():
    body = b'{"a": "\\ud800"}'
    assert read_object(body)
    with pytest.raises(Unreadable):
        read_object(body, storable=True)


@pytest.mark.parametrize(
    ("read", "valid", "invalid"),
    [
        (text, ["a", "x" * 256], [None, "", "x" * 257, 5, ["a"]]),
        (number, [0, 2**53 - 1], [None, "1", True, -1, 1.5, 2**53]),
        (child, [{}, {"a": 1}], [None, [], "text"]),
        (objects, [[], [{}]], [None, {}, "hi", ["u1"]]),
    ],
    ids=["text", "number", "child", "objects"],
)
def test_a_field_has_its_type_and_its_limits(read, valid, invalid):
    for value in valid:
        assert read({"field": value}, "field") == value
    for content in ({}, *({"field": value} for value in invalid)):
        with pytest.raises(Unreadable):
            read(content, "field")


@pytest.mark.parametrize(
    "value", [None, "", "soon", -5, "-5", "+5", 1.5, True, 10**12, "1" * 5000, "٣", "３", [5]]
)
def test_digits_are_ascii_and_of_limited_length(value):
    assert digits("123456789012", 12) == digits(123456789012, 12) == 123456789012
    with pytest.raises(Unreadable):
        digits(value, 12)
