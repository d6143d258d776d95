"""The base of the page objects of the demo room, and its two languages."""

import re
from pathlib import Path

from playwright.async_api import Locator, Page

TRANSLATIONS = re.findall(r'\["([^"]*)", "([^"]*)"\]', Path("web/demo/translations.js").read_text())


def translate(chinese: str) -> str:
    """The page's English text; names of users stay as they are."""
    for pattern, english in sorted(TRANSLATIONS, key=lambda pair: "{" in pair[0]):
        found = re.fullmatch(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(pattern)), chinese)
        if found:
            text: str = english.format(**found.groupdict())
            return text
    return chinese


class Language:
    """The language of a window: zh or en."""

    def __init__(self) -> None:
        self.code = "zh"

    def text(self, chinese: str) -> str:
        return chinese if self.code == "zh" else translate(chinese)


class DemoPart:
    """A part of a window; its methods take the Chinese texts of the page."""

    def __init__(self, page: Page, language: Language) -> None:
        self.page = page
        self._language = language
        self.root: Page | Locator = page

    def text(self, chinese: str) -> str:
        return self._language.text(chinese)

    def button(self, name: str | re.Pattern[str]) -> Locator:
        if isinstance(name, str):
            return self.root.get_by_role("button", name=self.text(name), exact=True)
        return self.root.get_by_role("button", name=name)
