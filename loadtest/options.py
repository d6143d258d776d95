"""What a load test does, from the command line."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from core.errors import StartupError

DEFAULT_USERS, DEFAULT_SECONDS = 60, 60.0
MAX_USERS = 20_000
"""Sockets of one address beyond which ports run out."""
DEFAULT_MIX = "1:50:9"


class Mix(NamedTuple):
    """Numbers, or shares, of users by what they do."""

    hosts: int
    viewers: int
    senders: int

    def of(self, users: int) -> "Mix":
        """So many users in these shares; at least one of each kind whose share is not 0."""
        shares = sum(self)
        hosts = max(1, round(users * self.hosts / shares))
        senders = max(1, round(users * self.senders / shares)) if self.senders else 0
        if hosts + senders > users:
            raise StartupError(f"{users} users are too few for --mix {':'.join(map(str, self))}.")
        return Mix(hosts, users - hosts - senders, senders)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """`tokens` is None to sign in with the simulator; the others are seconds and rates of one
    user."""

    url: str
    tokens: tuple[str, ...] | None
    users: int
    mix: Mix
    seconds: float
    sends: Literal["apply", "gift"]
    rate: float
    """Events that a sender causes a second."""
    poll_seconds: float
    """Between two reads of a user; 0 for none."""
    reconnect_seconds: float
    """Between two losses of a viewer's connection, on average; 0 for none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("url", metavar="URL", help="your own deployment, as https://live.example.com")
    add("--yes-this-is-mine", action="store_true", help="required for another machine than this")
    add("--tokens", type=Path, metavar="FILE", help="users' tokens, one a line; - is stdin")
    add("--users", type=_count, metavar="N", help="default: all tokens, or 60 without --tokens")
    add(
        "--mix",
        type=_mix,
        default=DEFAULT_MIX,
        metavar="HOSTS:VIEWERS:SENDERS",
        help=f"shares of the users; default: {DEFAULT_MIX}",
    )
    seconds = _number(0)
    add("--seconds", type=_number(1), default=DEFAULT_SECONDS, help="duration; default: 60")
    add("--sends", choices=["apply", "gift"], default="apply", help="gifts cost the senders gold")
    add("--rate", type=_number(0.001), default=0.25, help="events a second of a sender")
    add("--poll", type=seconds, default=10.0, metavar="SECONDS", help="between reads; 0: none")
    add(
        "--reconnect",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="between losses of a viewer's connection, on average; 0: none",
    )
    add("--html", type=Path, metavar="FILE", help="also write the report as a page with plots")


def options_from(args: argparse.Namespace, read_tokens: Callable[[Path], str]) -> LoadOptions:
    """Raises StartupError."""
    tokens = _tokens(args.tokens, read_tokens) if args.tokens else None
    users = args.users or (len(tokens) if tokens else DEFAULT_USERS)
    if tokens is not None and users > len(tokens):
        raise StartupError(f"{args.tokens} has {len(tokens)} tokens, fewer than --users {users}.")
    if users > MAX_USERS:
        raise StartupError(f"At most {MAX_USERS} users fit one address; use several machines.")
    return LoadOptions(
        url=args.url,
        tokens=tokens,
        users=users,
        mix=args.mix.of(users),
        seconds=args.seconds,
        sends=args.sends,
        rate=args.rate,
        poll_seconds=args.poll,
        reconnect_seconds=args.reconnect,
    )


def _tokens(path: Path, read: Callable[[Path], str]) -> tuple[str, ...]:
    try:
        lines = read(path).splitlines()
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise StartupError(f"{path} is not text.") from None
    tokens = {line.strip(): number for number, line in enumerate(lines, 1) if line.strip()}
    for token, number in tokens.items():
        if not (token.isascii() and token.isalnum()):
            raise StartupError(f"{path}, line {number}: not a token.")
    if not tokens:
        raise StartupError(f"{path} has no tokens.")
    return tuple(tokens)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _number(least: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least {least:g}")
        return value

    return number


def _mix(text: str) -> Mix:
    parts: list[Any] = text.split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts) or int(parts[0]) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be three numbers like {DEFAULT_MIX}, the first at least 1"
        )
    return Mix(*map(int, parts))
