"""Looks at MongoDB at a start, and warns of what would delay or lose changes."""

from typing import Any

import pymongo
import structlog
from pymongo.errors import OperationFailure, PyMongoError

from storage.database import Database, Document

log = structlog.get_logger("qlive.storage")

OLDEST_VERSION = (6, 0)
TRANSACTION_SECONDS = 5
"""A server that is killed within a transaction blocks what it wrote for up to one and a half times
`transactionLifetimeLimitSeconds`."""
MEMBERS = 3
"""Data-bearing members with which one may fail while majority writes continue."""
CHECK_SECONDS = 3.0
"""Time for all checks together."""
_PRIMARY, _SECONDARY, _ARBITER = 1, 2, 7


async def warn_of_mongodb_risks(database: Database, *, production: bool) -> None:
    """Log a warning for each risk found; never raises.

    What the user may not read, or what fails, is skipped.
    """
    with pymongo.timeout(CHECK_SECONDS):
        check_version(await _ask(database, "buildInfo"))
        parameter = "transactionLifetimeLimitSeconds"
        check_transactions(await _ask(database, "getParameter", **{parameter: 1}), parameter)
        if production:
            check_members(await _ask(database, "hello"))
        check_health(await _ask(database, "replSetGetStatus"))
        check_journal(await _ask(database, "replSetGetConfig"))


async def _ask(database: Database, command: str, **options: Any) -> Document:
    """The answer to a command of the database `admin`; {} if there is none."""
    try:
        return await database.client.admin.command(command, **options)
    except OperationFailure as error:
        why = (error.details or {}).get("codeName", str(error.code))
    except PyMongoError as error:
        why = type(error).__name__
    log.info("mongodb_check_skipped", command=command, why=why)
    return {}


def check_version(build: Document) -> None:
    version = build.get("versionArray", OLDEST_VERSION)
    if tuple(version[:2]) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        log.warning("mongodb_version_unsupported", version=build["version"], oldest=oldest)


def check_transactions(answer: Document, parameter: str) -> None:
    if (seconds := answer.get(parameter, 0)) > TRANSACTION_SECONDS:
        log.warning("mongodb_transactions_long", seconds=seconds, most=TRANSACTION_SECONDS)


def check_members(hello: Document) -> None:
    members = [*hello.get("hosts", []), *hello.get("passives", [])]
    if hello.get("setName") and len(members) < MEMBERS:
        log.warning("mongodb_members_few", members=len(members), needed=MEMBERS)


def check_health(status: Document) -> None:
    members = status.get("members", [])
    for member in members:
        if member["state"] not in (_PRIMARY, _SECONDARY, _ARBITER):
            log.warning("mongodb_member_down", member=member["name"], state=member["stateStr"])
    healthy = [member for member in members if member["state"] in (_PRIMARY, _SECONDARY)]
    needed = status.get("writeMajorityCount", 0)
    if len(healthy) < needed:
        log.warning("mongodb_majority_missing", healthy=len(healthy), needed=needed)


def check_journal(answer: Document) -> None:
    if not answer.get("config", {}).get("writeConcernMajorityJournalDefault", True):
        log.warning("mongodb_journal_off")
