"""The list of words."""

import os
import random
import time
from pathlib import Path

import pytest

from services.moderation.forbidden_words import DEFAULT_FILE, ForbiddenWords

LIST = """# comment
微 = 薇威维
V = ⅤⓋ ν
加v
加微信  # an advertisement
Bad Word
開票
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text(LIST)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "加Ⅴ",
        "加 Ν",
        "加\u200b微\u202e信",
        "加\u3164微\u115f信",
        "加ー微ˉ信",
        "请加 薇-信!",
        "加。威。信",
        "BAD WORD",
        "b.a_d w o r d",
        "ｂａｄｗｏｒｄ",
        "xBadwordx",
        "加維信",
        "代开票",
        "代開票",
        "b\u00e4d wo\u0308rd",
    ],
)
def test_a_word_is_found_through_the_usual_evasions(file: Path, text: str) -> None:
    assert ForbiddenWords(str(file)).found_in(text) in ("加微信", "badword", "加v", "开票")


@pytest.mark.parametrize("text", ["", "微信", "bad", "wordbad", "# comment", "加油"])
def test_other_texts_have_no_word(file: Path, text: str) -> None:
    assert ForbiddenWords(str(file)).found_in(text) == ""


def test_the_file_is_read_again_when_it_changes_and_kept_when_it_is_gone(file: Path) -> None:
    words = ForbiddenWords(str(file))
    assert words.found_in("加油") == ""
    file.write_text("加油\n")
    os.utime(file, ns=(1, 1))
    assert words.found_in("加油") == "加油"
    file.unlink()
    assert words.found_in("加油") == "加油"
    file.write_text("\n")
    assert words.found_in("加油") == ""


def test_a_long_list_does_not_hold_up_a_long_text(file: Path) -> None:
    chance = random.Random(1)
    text = "".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(84_000))
    file.write_text("\n".join(text[start : start + 2 + start % 5] for start in range(0, 80_000, 4)))
    words = ForbiddenWords(str(file))
    assert words.found_in("") == ""
    started = time.thread_time()
    assert words.found_in("x" * 2000 + text[80_000:83_000:7] * 4) == ""
    assert time.thread_time() - started < 0.05


def test_a_text_that_normalising_makes_several_times_longer_counts_as_a_word(file: Path) -> None:
    words = ForbiddenWords(str(file))
    for longest in ("\ufdfa" * 600, "각" * 4_000, "a" * 12_000):  # 12 KB, as IM's messages
        assert words.found_in(longest) == ""
        assert words.found_in(longest[:-3] + "加微信") == "加微信"
    text, started = "\ufdfa" * 4_000 + "加微信", time.thread_time()
    assert words.found_in(text)
    assert time.thread_time() - started < 0.01, "it is not searched"


def test_the_default_list_is_in_the_repository() -> None:
    assert DEFAULT_FILE.exists()
    assert ForbiddenWords("").found_in("快来 加 V X") == "加vx"
