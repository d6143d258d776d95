import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from handlers.models import LONGEST_NAME, Name, clean_name
from tests.support.hypothesis_profiles import example_settings

NAME: TypeAdapter[str] = TypeAdapter(Name)
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
HONEST = [
    "安娜",
    "O'Neil-Łukasz",
    "日本語 ﾃｽﾄ",
    "คนไทย",
    "👨\u200d👩\u200d👧\u200d👦 一家",
    "👩🏽\u200d🚒",
    "🏳\ufe0f\u200d🌈",
    "❤\ufe0f安娜❤\ufe0f",
    "❤",
    "1\ufe0f\u20e3号",
    "🇨🇳",
    ENGLAND,
    "🤷🏻\u200d♀\ufe0f",
    "\U0001fae9",  # newer than Python's Unicode
]
INVISIBLE = {
    "zero-width space": "\u200b",
    "zero-width non-joiner": "\u200c",
    "joiner outside of an emoji": "\u200d",
    "text direction": "\u202e",
    "direction mark": "\u200e",
    "isolate": "\u2066",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "Arabic letter mark": "\u061c",
    "variation selector outside of an emoji": "\ufe0f",
    "ideographic variation selector": "\U000e0100",
    "tag outside of a flag": "\U000e0067",
    "Hangul filler": "\u3164",
    "halfwidth Hangul filler": "\uffa0",
    "Mongolian vowel separator": "\u180e",
    "grapheme joiner": "\u034f",
    "empty braille pattern": "\u2800",
    "private use": "\ue000",
    "control": "\x1b",
    "interlinear annotation": "\ufff9",
}


def is_accepted(text: str) -> bool:
    try:
        return NAME.validate_python(text) == text.strip()
    except ValidationError:
        return False


@pytest.mark.parametrize("name", HONEST)
def test_honest_names_are_kept(name: str) -> None:
    assert is_accepted(name)
    assert clean_name(name) == name


@pytest.mark.parametrize("char", INVISIBLE.values(), ids=INVISIBLE)
def test_invisible_characters_are_refused_and_removed_from_external_names(char: str) -> None:
    for text in ("an{}na", "{}anna", "anna{}", "安{0}{0}娜", "{0} {0}"):
        name = text.format(char)
        assert not is_accepted(name)
        assert clean_name(name) == name.replace(char, "").strip()


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("  a\x00b\u2028c\ud800 ", "abc"),
        ("x" * 30, "x" * LONGEST_NAME),
        ("x" * (LONGEST_NAME - 2) + "👨\u200d👩", "x" * (LONGEST_NAME - 2) + "👨"),
        ("x" * (LONGEST_NAME - 3) + ENGLAND, "x" * (LONGEST_NAME - 3) + "🏴"),
        ("👨\u200d\u200d👩", "👨👩"),
        ("a\u200d👩", "a👩"),
        ("\u3000", ""),
    ],
)
def test_external_names_are_cleaned_and_cut(given_name: str, expected: str) -> None:
    assert clean_name(given_name) == expected


NAMES = st.text(st.one_of(st.characters(), st.sampled_from([*"👨👩🏽❤1x", *INVISIBLE.values()])))


@given(NAMES)
@example_settings(100)
def test_cleaned_names_are_accepted_unless_blank_and_cleaning_is_stable(name: str) -> None:
    cleaned = clean_name(name)
    assert cleaned == "" or is_accepted(cleaned)
    assert clean_name(cleaned) == cleaned
