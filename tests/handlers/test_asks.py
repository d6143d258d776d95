import pytest

from handlers import asks


@pytest.mark.parametrize(
    ("theirs", "ours"),
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
def test_a_name_from_outside_is_made_to_fit(theirs: str, ours: str) -> None:
    assert asks.tidy_name(theirs) == ours
