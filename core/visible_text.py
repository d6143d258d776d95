"""Invisible characters in texts."""

import re
import unicodedata

_INVISIBLE_CATEGORIES = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Controls, format characters (zero-width ones, text direction, tags), private use, surrogates and
line separators. Not Cn: the emoji of a newer Unicode than Python's are unassigned here."""
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
"""The other characters that show nothing: fillers, variation selectors, the empty braille pattern.
Source: Unicode, Default_Ignorable_Code_Point."""
_PICTOGRAPH = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2934\u2935\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_EMOJI = f"{_PICTOGRAPH}[\ufe0e\ufe0f]?[\U0001f3fb-\U0001f3ff]?"
"""A picture with its presentation (text or colour) and its skin tone."""
_SEQUENCES = "|".join(
    (
        "\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f",  # flag of a region
        "[0-9#*]\ufe0f?\u20e3",  # keycap
        f"{_EMOJI}(?:\u200d{_EMOJI})*",  # joined, such as a family
    )
)
"""Emoji, the only place for joiners, selectors and tags. Source: Unicode, UTS #51."""
_PARTS = re.compile(f"({_SEQUENCES})|.", re.DOTALL)


def visible(text: str) -> str:
    """Return the text without its invisible characters, except those inside emoji."""

    def visible_part(part: re.Match[str]) -> str:
        char = part[0]
        if part[1]:
            return part[1]
        in_category = unicodedata.category(char) in _INVISIBLE_CATEGORIES
        return "" if in_category or _INVISIBLE.fullmatch(char) else char

    return _PARTS.sub(visible_part, text)


def shows_anything(text: str) -> bool:
    """Return whether a text whose characters are visible is more than spaces."""
    return any(map(str.isprintable, text)) or re.search(_PICTOGRAPH, text) is not None
