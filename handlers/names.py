"""Names of users and rooms, and the characters that they may have."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from core.visible_text import shows_anything, visible

LONGEST = 20


def clean_name(text: str) -> str:
    """Return a name from outside, cut to fit the rules of `Name`.

    "" if nothing visible is left.
    """
    # Again after the cut, which may have left half of an emoji.
    cleaned = visible(visible(text).strip()[:LONGEST]).strip()
    return cleaned if shows_anything(cleaned) else ""


def _check_name(text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= LONGEST:
        raise ValueError(f"this must have 1 to {LONGEST} characters")
    if visible(text) != text or not shows_anything(text):
        raise ValueError("invisible characters and names that show nothing are not allowed")
    return text


_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST,
    "description": (
        "Surrounding spaces are removed; control characters are rejected, and other invisible "
        "ones outside of emoji."
    ),
}
Name = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(_check_name),
    WithJsonSchema(_SCHEMA),
]
