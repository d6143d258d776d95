import argparse
from pathlib import Path

import pytest

from core.errors import StartupError
from loadtest.options import LoadOptions, Mix, options_from
from runtime.load_test import load_test
from server import parse

HERE = "http://127.0.0.1:8000"


def parsed(*arguments: str) -> argparse.Namespace:
    return parse(["load-test", HERE, *arguments])


def options(tokens: str, *arguments: str) -> LoadOptions:
    args = parsed("--tokens", "users.txt", *arguments)
    return options_from(args, lambda _path: tokens)


def test_users_are_divided_as_the_mix_says() -> None:
    assert Mix(1, 50, 9).of(60) == (1, 50, 9)
    assert Mix(1, 50, 9).of(600) == (10, 500, 90)
    assert Mix(1, 50, 9).of(3) == (1, 1, 1)
    assert Mix(1, 50, 0).of(2) == (1, 1, 0)
    assert Mix(1, 0, 1).of(2) == (1, 0, 1)
    with pytest.raises(StartupError, match="1 users are too few for --mix 1:50:9"):
        Mix(1, 50, 9).of(1)


def test_tokens_are_read_in_order_without_blank_lines_and_repetitions() -> None:
    found = options("abc1\n\n abc2 \nabc1\n", "--mix", "1:1:0")
    assert (found.tokens, found.users, found.mix) == (("abc1", "abc2"), 2, (1, 1, 0))


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        ("", "users.txt has no tokens"),
        ("abc\nQLiveToken abc\n", "users.txt, line 2: not a token"),
        ("a\nb\n", "has 2 tokens, fewer than --users 3"),
    ],
)
def test_a_wrong_token_file_is_refused(tokens: str, problem: str) -> None:
    with pytest.raises(StartupError, match=problem):
        options(tokens, "--users", "3")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--users", "0"),
        ("--mix", "1:2"),
        ("--mix", "0:2:1"),
        ("--mix", "1:-2:1"),
        ("--seconds", "0.5"),
        ("--seconds", "nan"),
        ("--rate", "0"),
        ("--poll", "inf"),
        ("--sends", "messages"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parsed(*arguments)
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://live.example.com", "add --yes-this-is-mine"),
        ("live.example.com", "must be a URL"),
        ("ftp://127.0.0.1", "must be a URL"),
        ("http://127.0.0.1:99999", "is not a URL"),
        ("http://127.0.0.1/wx/api/", "scheme, host and port only"),
        ("http://me@127.0.0.1/", "scheme, host and port only"),
    ],
)
@pytest.mark.gen_test
async def test_a_url_that_is_no_deployment_or_another_machine_is_refused(
    url: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await load_test(parse(["load-test", url])) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.gen_test
async def test_a_file_that_cannot_be_read_or_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await load_test(parsed("--tokens", str(tmp_path / "none.txt"))) == 2
    assert "none.txt: No such file" in capsys.readouterr().err
    assert await load_test(parsed("--html", str(tmp_path / "none" / "report.html"))) == 2
    assert "report.html: No such file" in capsys.readouterr().err
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert await load_test(parsed("--tokens", str(tmp_path / "binary"))) == 2
    assert "binary is not text" in capsys.readouterr().err
