import pytest

from handlers.schemas import requests


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("安娜", "安娜"),
        ("  a\x00b\u2028c\ud800 ", "abc"),
        ("👨\u200d👩", "👨\u200d👩"),
        ("x" * 30, "x" * 20),
        ("\x1b", ""),
        ("\u202eab", "ab"),
        ("\u200b", ""),
    ],
)
def test_external_nickname_is_cleaned_and_truncated(given: str, expected: str) -> None:
    assert requests.clean_name(given) == expected
