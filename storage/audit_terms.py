"""Search terms of audit entries: what an index can find them by."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

WORD = re.compile(r"\w+(?:[.-]\w+)*")
"""An id, an address, a word; `ops@10.0.0.1` and `POST OneUser` are two each."""
CHINESE = re.compile(r"[\u3400-\u9fff]")
"""Chinese has no spaces between words: a term begins at each of these characters, too."""
TERM_LENGTH = 24
MAX_TERMS = 100
"""Terms of one entry, so that its index keys are bounded; an entry for a ban has about 15."""
MAX_QUERY_WORDS = 8
REASONS = ("reason", "ban_reason")


def entry_terms(what: str, on: str, who: str, reason: str, asked: Any) -> list[str]:
    """Terms of an entry; its ids come first, its reason, which may be long, last."""
    if isinstance(asked, dict):
        asked = {name: value for name, value in asked.items() if name not in REASONS}
    texts = (what, on, who, json.dumps(asked, ensure_ascii=False), reason)
    return [*islice(dict.fromkeys(_terms(texts)), MAX_TERMS)]


def query_words(text: str) -> list[str]:
    """The words of a search, each the start of a term."""
    return [word[:TERM_LENGTH] for word in WORD.findall(text.casefold())[:MAX_QUERY_WORDS]]


def _terms(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for word in WORD.findall(text.casefold()):
            yield word[:TERM_LENGTH]
            for character in CHINESE.finditer(word):
                start = character.start()
                yield word[start : start + TERM_LENGTH]
