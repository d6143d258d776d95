"""The list of words that are never allowed, found through the usual evasions."""

import re
import unicodedata
from contextlib import suppress
from pathlib import Path

DEFAULT_FILE = Path(__file__).with_name("forbidden_words.txt")
IGNORED = re.compile("[\\W_\u02b0-\u02ff\u115f\u1160\u3005\u30fc-\u30fe]")
"""Characters that are neither letter nor digit, accents among them, and letters that show nothing
or look like punctuation."""
_PAIRS = DEFAULT_FILE.with_name("traditional.txt").read_text("utf-8").partition("\n\n")[2].split()
TRADITIONAL = {ord(pair[0]): pair[1] for pair in _PAIRS}
MAX_LENGTH = 12_000
"""Normalised characters that are searched, which takes 3 ms at most. IM's messages have 12 KB, and
real texts no more characters; but 4,000 times U+FDFA becomes 72,000."""


class ForbiddenWords:
    """The words of a file, one a line, which is read again when it changes.

    In a line with "=", the characters on the right are read as the one on the left, in the list and
    in texts: they sound or look the same. "#" begins a comment.
    """

    def __init__(self, file: str) -> None:
        self._file = Path(file) if file else DEFAULT_FILE
        self._stamp: tuple[int, int] | None = None
        self._same: dict[int, str] = {}
        self._words: set[str] = set()
        self._lengths: dict[str, set[int]] = {}
        """Of the words, by their first character."""

    def found_in(self, text: str) -> str:
        """Return a word found in a text, folded; "" if it has none. Never waits.

        A text longer than real ones counts as a word: one could hide behind any cut.
        """
        self._reload()
        plain = unicodedata.normalize("NFKD", text)
        if len(plain) > MAX_LENGTH:
            return text
        folded = self._fold(plain)
        for start, first in enumerate(folded):  # a pattern of 20,000 words took 0.1 s
            for length in self._lengths.get(first, ()):
                if (part := folded[start : start + length]) in self._words:
                    return part
        return ""

    def _fold(self, text: str) -> str:
        """Drop width, accents, case and traditional forms, and the ignored characters."""
        plain = unicodedata.normalize("NFKD", text).casefold()
        return IGNORED.sub("", plain).translate(TRADITIONAL).translate(self._same)

    def _reload(self) -> None:
        """Reload the words if the file has changed; keep them while it cannot be read."""
        with suppress(OSError, UnicodeDecodeError):
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._parse(self._file.read_text("utf-8"))
                self._stamp = stamp

    def _parse(self, content: str) -> None:
        lines = [line.partition("#")[0].strip() for line in content.splitlines()]
        self._same = {}
        pairs = [map(self._fold, line.split("=", 1)) for line in lines if "=" in line]
        self._same = {ord(character): kept for kept, alike in pairs for character in alike}
        self._words = {self._fold(line) for line in lines if "=" not in line} - {""}
        self._lengths = {}
        for word in self._words:
            self._lengths.setdefault(word[0], set()).add(len(word))
