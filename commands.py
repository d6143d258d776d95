"""What an operator does on the command line, beside a server that runs or without one."""

import argparse
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import assembly
from devsecrets import DevSecrets
from handlers.description.pages import openapi_text
from handlers.ops.people import retire
from handlers.parts import Parts
from handlers.routes import CALLS
from rooms.refusals import Refusal
from settings import Settings
from storage.mongod import Mongod, running_uri


def add_commands(commands: Any) -> None:
    """To argparse's subparsers."""
    words = commands.add_parser("check-ledger", help="hold the book against all that is kept")
    words.set_defaults(run=check_ledger)
    words = commands.add_parser("rebuild-ranks", help="make the rankings anew from the book")
    words.set_defaults(run=rebuild_ranks)
    words = commands.add_parser("grant", help="give somebody gold")
    words.add_argument("user_id")
    words.add_argument("gold", type=int)
    words.add_argument("--reason", required=True)
    words.set_defaults(run=grant)
    words = commands.add_parser("matchmaker", help="make somebody a matchmaker")
    words.add_argument("user_id")
    words.add_argument("--off", action="store_true", help="no longer")
    words.set_defaults(run=matchmaker)
    words = commands.add_parser("openapi", help="print the API description")
    words.set_defaults(run=openapi)


async def check_ledger(
    settings: Settings, dev: DevSecrets | None, _asked: argparse.Namespace
) -> int:
    found: list[str] = []

    async def check(parts: Parts) -> None:
        found.extend(await parts.books.check())

    await with_parts(settings, dev, check)
    print("\n".join(found) or "Every unit of gold and income is accounted for.")
    return 1 if found else 0


async def rebuild_ranks(
    settings: Settings, dev: DevSecrets | None, _asked: argparse.Namespace
) -> int:
    async def rebuild(parts: Parts) -> None:
        wrong = await parts.rankings.rebuild_all()
        print(f"{wrong} places were wrong." if wrong else "Every ranking was what the book says.")

    return await with_parts(settings, dev, rebuild)


async def grant(settings: Settings, dev: DevSecrets | None, asked: argparse.Namespace) -> int:
    async def give(parts: Parts) -> None:
        if asked.gold < 1:
            raise Refusal("GOLD must be at least 1.")
        await parts.users.get(asked.user_id)
        purse = await parts.teller.grant(
            asked.user_id, asked.gold, asked.reason, uuid.uuid4().hex, by="command line"
        )
        print(f"{asked.user_id} now has {purse['gold']} gold and {purse['income']} income.")

    return await with_parts(settings, dev, give)


async def matchmaker(settings: Settings, dev: DevSecrets | None, asked: argparse.Namespace) -> int:
    async def change(parts: Parts) -> None:
        await parts.users.update(asked.user_id, is_matchmaker=not asked.off)
        if asked.off:
            await retire(parts, asked.user_id)
        print(f"{asked.user_id} is {'no longer' if asked.off else 'now'} a matchmaker.")

    return await with_parts(settings, dev, change)


async def openapi(_settings: Settings, dev: DevSecrets | None, _asked: argparse.Namespace) -> int:
    """With the simulator's calls where there is one."""
    print(openapi_text(CALLS, with_simulator=dev is not None))
    return 0


async def with_parts(
    settings: Settings, dev: DevSecrets | None, work: Callable[[Parts], Awaitable[None]]
) -> int:
    """Do something beside a server that may be running, or without one."""
    mongod = None
    uri = settings.mongodb.uri or running_uri(settings.mongodb.data_dir)
    if not uri:
        mongod = Mongod(settings.mongodb.data_dir)
        uri = await mongod.start()
    parts = assembly.build(settings, dev, uri, "http://127.0.0.1")
    try:
        await assembly.make_indexes(parts)
        await work(parts)
    finally:
        await assembly.take_down(parts)
        if mongod:
            await mongod.stop()
    return 0
