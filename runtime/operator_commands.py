"""Commands that add, list, change and reset operators; each change has an audit entry."""

import argparse
import re
from collections.abc import Callable
from typing import Any

from handlers.context import Context
from handlers.operators.login import OPERATOR_NAME
from runtime.commands import begin_entry, run
from services.operators.operators import ONE_TIME_HOURS
from services.operators.roles import ROLES


def add_commands(commands: Any) -> None:
    """Add `operator` with its actions to argparse's subparsers."""
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
    listing.set_defaults(run=run, work=list_all)


def _action(
    actions: Any, name: str, about: str, name_type: Callable[[str], str] = str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=about)
    parser.add_argument("name", metavar="NAME", type=name_type)
    parser.set_defaults(run=run, work=change, action=name)
    return parser


def _new_name(text: str) -> str:
    if not re.fullmatch(OPERATOR_NAME, text):
        raise argparse.ArgumentTypeError(
            "NAME has 2 to 32 characters, a-z, 0-9, '.', '_' or '-', and begins with a letter."
        )
    return text


async def change(context: Context, args: argparse.Namespace) -> int:
    """Carry the action out between the begin and the completion of its audit entry.

    The result is printed before the completion: it may be a password that is stored nowhere.
    """
    parameters = {"role": args.role} if "role" in args else {}
    entry = await begin_entry(context, f"operator {args.action}", args.name, parameters)
    before = await _public_state(context, args.name)
    print(await _handle(context, args), flush=True)
    await context.stores.audit.done(entry, before, await _public_state(context, args.name))
    return 0


async def list_all(context: Context, _args: argparse.Namespace) -> int:
    accounts = await context.stores.operators.all()
    if not accounts:
        print("There are no operators; add one with `operator add NAME --role ROLE`.")
    for account in accounts:
        last = account.last_login_at
        login = f"last login {last:%Y-%m-%d %H:%M} UTC" if last else "never logged in"
        print(f"{account.name:<32} {account.role:<10} {account.state:<10} {login}".rstrip())
    return 0


async def _public_state(context: Context, name: str) -> dict[str, Any]:
    """Return state and role of an operator, for the audit log; {} for an unknown name."""
    account = await context.stores.operators.find(name)
    return account.summary if account else {}


async def _handle(context: Context, args: argparse.Namespace) -> str:
    """Carry out the action and return the text to print."""
    operators, name = context.services.operators.operators, args.name
    match args.action:
        case "add":
            return _one_time(name, await operators.add(name, args.role))
        case "reset":
            return _one_time(name, await operators.reset(name))
        case "disable":
            await operators.change(name, disabled=True)
            return f"{name} is logged out and can no longer log in."
        case "enable":
            await operators.change(name, disabled=False)
            return f"{name} can log in."
        case _:
            await operators.change(name, role=args.role)
            return f"{name} is now {args.role}."


def _one_time(name: str, password: str) -> str:
    return (
        f"One-time password of {name}: {password}\n"
        f"The first login at /ops/, within {ONE_TIME_HOURS} hours, sets a password and a second "
        "factor."
    )
