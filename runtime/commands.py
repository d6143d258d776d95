"""Operator commands, for use beside a running server or without one."""

import argparse
import getpass
import os
import re
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from pydantic import ValidationError

from config.settings import Settings
from core.clock import day_of
from handlers.accounts.console import GrantRequest
from handlers.context import Context
from handlers.operators.login import OPERATOR_NAME
from handlers.pages import openapi_text
from handlers.routes import ROUTES
from ledger.journal import JsonObject
from runtime import container
from services.operators.operators import ONE_TIME_HOURS
from services.operators.roles import ROLES
from storage.migrations import SCHEMA, Migration

COMMAND_LINE = "command line"
"""Name of the command line in the journal and the audit log."""


def add_commands(commands: Any) -> None:
    about = "check the ledger against balances, orders, events and rankings"
    commands.add_parser("check-ledger", help=about).set_defaults(run=run, work=check_ledger)
    about = "compare WeChat's bills of a day, or of a month of iOS, with the books"
    parser = commands.add_parser("reconcile", help=about)
    parser.add_argument("period", metavar="DATE", type=_period, help="YYYY-MM-DD or YYYY-MM")
    parser.set_defaults(run=run, work=reconcile)
    about = "rebuild the rankings from the ledger"
    commands.add_parser("rebuild-ranks", help=about).set_defaults(run=run, work=rebuild_rankings)
    about = "migrate the database and build its indexes, before a release starts"
    commands.add_parser("migrate", help=about).set_defaults(run=migrate)
    parser = commands.add_parser("grant", help="grant gold to a user")
    parser.add_argument("user_id")
    parser.add_argument("gold", type=partial(_grant, "gold"))
    parser.add_argument("--reason", required=True, type=partial(_grant, "reason"))
    parser.add_argument(
        "--request-id",
        type=partial(_grant, "request_id"),
        help="grants once, however often it is repeated; default: a new one",
    )
    parser.set_defaults(run=run, work=grant)
    parser = commands.add_parser("matchmaker", help="make a user a matchmaker")
    parser.add_argument("user_id")
    parser.add_argument("--off", action="store_true", help="revoke the role")
    parser.set_defaults(run=run, work=matchmaker)
    commands.add_parser("openapi", help="print the OpenAPI document").set_defaults(run=openapi)
    _add_operator_commands(commands)


def _add_operator_commands(commands: Any) -> None:
    parser = commands.add_parser("operator", help="add, list, change and reset operators")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    adding = _action(actions, "add", "add an operator; prints a one-time password", _new_name)
    adding.add_argument("--role", choices=ROLES, required=True)
    _action(actions, "reset", "forget password and second factor; prints a new one-time password")
    _action(actions, "disable", "end the sessions and refuse logins")
    _action(actions, "enable", "permit logins again")
    changing = _action(actions, "role", "change the role, from the next request on")
    changing.add_argument("role", choices=ROLES)
    listing = actions.add_parser("list", help="list all operators")
    listing.set_defaults(run=run, work=list_operators)


def _action(
    actions: Any, name: str, about: str, name_type: Callable[[str], str] = str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=about)
    parser.add_argument("name", metavar="NAME", type=name_type)
    parser.set_defaults(run=run, work=change_operator, action=name)
    return parser


def _new_name(text: str) -> str:
    if not re.fullmatch(OPERATOR_NAME, text):
        raise argparse.ArgumentTypeError(
            "NAME has 2 to 32 characters, a-z, 0-9, '.', '_' or '-', and begins with a letter."
        )
    return text


def _grant(name: str, text: str) -> Any:
    """Return a field of a grant, checked as in the operators' API."""
    fields = {"gold": 1, "reason": "-", "request_id": "-", name: text}
    try:
        return getattr(GrantRequest.model_validate(fields, strict=False), name)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(error.errors()[0]["msg"]) from None


def _period(text: str) -> str:
    """Return a day or month before the present one in China."""
    today = str(day_of(datetime.now(UTC)))
    with suppress(ValueError):
        period = str(date.fromisoformat(f"{text}-01"[:10]))[: len(text)]
        if period == text < today[: len(text)]:
            return text
    raise argparse.ArgumentTypeError("DATE is a day or a month that has ended in China.")


def invoker() -> str:
    """Return who ran the command, for the audit log: `user@machine`; under sudo its caller."""
    user = os.environ.get("SUDO_USER")
    with suppress(KeyError, OSError):  # a user id without a name, as in a container
        user = user or getpass.getuser()
    return f"{user or os.getuid()}@{socket.gethostname()}"[:64]


async def run(settings: Settings, simulator_key: str | None, args: argparse.Namespace) -> int:
    """Carry out `args.work` on an up-to-date database, beside a server or without one."""
    async with _open_context(settings, simulator_key) as (context, _):
        status: int = await args.work(context, args)
        return status


async def migrate(settings: Settings, simulator_key: str | None, _args: argparse.Namespace) -> int:
    """Migrate the database ahead of the start of a new release, which would do it as well."""
    async with _open_context(settings, simulator_key) as (_, applied):
        pass
    for migration, documents in applied:
        number, name = migration.number, migration.name
        print(f"Applied migration {number} ({name}): {documents} documents changed.")
    print(f"The database is ready for servers of schema {SCHEMA}.")
    return 0


async def openapi(_settings: Settings, simulator_key: str | None, _args: argparse.Namespace) -> int:
    """Print the API description, in development including the simulator's calls."""
    routes, intro = ROUTES, ""
    if simulator_key:
        from runtime import development  # noqa: PLC0415 - not in production

        routes, intro = (*ROUTES, *development.DOCUMENTED), development.INTRO
    print(openapi_text(routes, intro))
    return 0


async def check_ledger(context: Context, _args: argparse.Namespace) -> int:
    problems = await context.services.gold.audit.check()
    print("\n".join(problems) or "Every unit of gold and income is accounted for.")
    return 1 if problems else 0


async def reconcile(context: Context, args: argparse.Namespace) -> int:
    bills = context.services.payments.bills
    if not bills.bill_types:
        print("No source of bills is configured; see pay.*.", file=sys.stderr)
        return 2
    problems = await bills.reconcile(args.period)
    print("\n".join(problems) or "Every row of WeChat's bills is recorded here, and the reverse.")
    return 1 if problems else 0


async def rebuild_rankings(context: Context, _args: argparse.Namespace) -> int:
    wrong = await context.stores.rankings.rebuild_all()
    print(f"Corrected {wrong} ranking entries." if wrong else "Every ranking matches the ledger.")
    return 0


async def grant(context: Context, args: argparse.Namespace) -> int:
    request_id = args.request_id or uuid.uuid4().hex
    await context.stores.users.get(args.user_id)
    if not args.request_id:  # a grant that fails may have been written all the same
        hint = f"If this fails, repeat it with --request-id {request_id}"
        print(hint, file=sys.stderr, flush=True)
    parameters = {"gold": args.gold, "request_id": request_id}
    entry = await begin_entry(context, "grant", args.user_id, parameters, args.reason)
    balance = await context.services.gold.ledger.grant(
        args.user_id, args.gold, args.reason, request_id, by=COMMAND_LINE
    )
    await context.stores.audit.done(entry, {}, balance)
    print(f"{args.user_id} now has {balance['gold']} gold and {balance['income']} income.")
    return 0


async def matchmaker(context: Context, args: argparse.Namespace) -> int:
    after = {"is_matchmaker": not args.off}
    entry = await begin_entry(context, "matchmaker", args.user_id, after)
    user = await context.stores.users.find(args.user_id)
    before = {"is_matchmaker": user.is_matchmaker} if user else {}
    await context.stores.users.update(args.user_id, is_matchmaker=not args.off)
    if args.off:
        await context.services.chat.groups.retire_host(args.user_id)
    await context.stores.audit.done(entry, before, after)
    print(f"{args.user_id} is {'no longer' if args.off else 'now'} a matchmaker.")
    return 0


async def change_operator(context: Context, args: argparse.Namespace) -> int:
    """Carry the action out between the begin and the completion of its audit entry.

    The result is printed before the completion: it may be a password that is stored nowhere.
    """
    parameters = {"role": args.role} if "role" in args else {}
    entry = await begin_entry(context, f"operator {args.action}", args.name, parameters)
    before = await context.stores.operators.find(args.name)
    print(await _handle(context, args), flush=True)
    after = await context.stores.operators.get(args.name)
    await context.stores.audit.done(entry, before.summary if before else {}, after.summary)
    return 0


async def list_operators(context: Context, _args: argparse.Namespace) -> int:
    accounts = await context.stores.operators.all()
    if not accounts:
        print("There are no operators; add one with `operator add NAME --role ROLE`.")
    for account in accounts:
        last = account.last_login_at
        login = f"last login {last:%Y-%m-%d %H:%M} UTC" if last else "never logged in"
        print(f"{account.name:<32} {account.role:<10} {account.state:<10} {login}".rstrip())
    return 0


async def _handle(context: Context, args: argparse.Namespace) -> str:
    """Carry out the action and return the text to print."""
    operators, name = context.services.operators.operators, args.name
    match args.action:
        case "add" | "reset":
            is_new = args.action == "add"
            password = await (operators.add(name, args.role) if is_new else operators.reset(name))
            return (
                f"One-time password of {name}: {password}\n"
                f"The first login at /ops/, within {ONE_TIME_HOURS} hours, sets a password and a "
                "second factor."
            )
        case "disable":
            await operators.change(name, disabled=True)
            return f"{name} is logged out and can no longer log in."
        case "enable":
            await operators.change(name, disabled=False)
            return f"{name} can log in."
        case _:
            await operators.change(name, role=args.role)
            return f"{name} is now {args.role}."


async def begin_entry(
    context: Context, what: str, on: str, parameters: JsonObject, reason: str = ""
) -> dict[str, Any]:
    """Begin an audit entry of the command line; `AuditStore.done` completes it."""
    return await context.stores.audit.begin(
        who=COMMAND_LINE, what=what, on=on, reason=reason, parameters=parameters, address=invoker()
    )


@asynccontextmanager
async def _open_context(
    settings: Settings, simulator_key: str | None
) -> AsyncIterator[tuple[Context, list[tuple[Migration, int]]]]:
    """Yield a context on an up-to-date database, and the migrations that were applied to it."""
    uri, mongod, simulator_url = settings.mongodb.uri, None, ""
    if simulator_key:
        from runtime.development import EmbeddedMongod  # noqa: PLC0415 - not in production

        simulator_url = "http://127.0.0.1/sim"
        if not uri:
            mongod = EmbeddedMongod(settings.mongodb.data_dir)
            uri = await mongod.start()
    context = container.build(settings, uri, "http://127.0.0.1", simulator_url)
    try:
        applied = await context.stores.migrator.run()
        await context.stores.make_indexes()
        yield context, applied
    finally:
        await container.close(context)
        if mongod:
            await mongod.stop()
