"""The replica set behind the database: checks at a start, and the embedded set of one member."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pymongo
import structlog
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from storage.database import Database, Document

NAME = "qlive"
_ALREADY_INITIALIZED, _NOT_YET_INITIALIZED, _CONFIGURATION_IN_PROGRESS = 23, 94, 109
_POLL_SECONDS = 0.02
_TIMEOUT_SECONDS = 2
log = structlog.get_logger("qlive.storage")
OLDEST_VERSION = (6, 0)
TRANSACTION_SECONDS = 5
"""A server that is killed within a transaction blocks what it wrote for up to one and a half times
`transactionLifetimeLimitSeconds`."""
MEMBERS = 3
"""Data-bearing members with which one may fail while majority writes continue."""
CHECK_SECONDS = 3.0
"""Time for all checks together."""


def uri_of(port: int) -> str:
    """Return the URI of a direct, polled connection to a local mongod.

    Direct: the host name in the set's configuration does not matter. Polled: saves the connection
    of streaming monitoring, as a failure on the same machine is noticed anyway.
    """
    return f"mongodb://127.0.0.1:{port}/?directConnection=true&serverMonitoringMode=poll"


async def become_primary(port: int) -> None:
    """Initiate the set or update its port, and wait until it is writable.

    The client is closed before others connect: a client that has seen the member before its
    initiation keeps raising "Sessions are not supported". The caller bounds the wait: a member
    whose former port now belongs to an unresponsive program asks there for 30 s whether it is the
    member itself, and answers replSetInitiate only then. Raises ConnectionError if a command fails.
    """
    limit = _TIMEOUT_SECONDS * 1000
    client = AsyncMongoClient[dict[str, Any]](
        uri_of(port), serverSelectionTimeoutMS=limit, connectTimeoutMS=limit
    )
    try:
        while not (await client.admin.command("hello")).get("isWritablePrimary"):
            await _configure(client, f"127.0.0.1:{port}")
            await asyncio.sleep(_POLL_SECONDS)
    except PyMongoError as error:
        raise ConnectionError(str(error)) from error
    finally:
        # Shielded: a client whose close is cancelled leaks its connections and tasks.
        await asyncio.shield(client.close())


async def _configure(client: AsyncMongoClient[dict[str, Any]], host: str) -> None:
    try:
        config = await _config(client)
        if config is None:
            first = {"_id": NAME, "members": [{"_id": 0, "host": host}]}
            await client.admin.command("replSetInitiate", first)
        elif config["members"][0]["host"] != host:
            # Forced, since a member that is not in its own configuration cannot become primary.
            config["members"][0]["host"] = host
            await client.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as failure:
        # The member is still loading its configuration; the caller retries.
        if failure.code not in (_ALREADY_INITIALIZED, _CONFIGURATION_IN_PROGRESS):
            raise


async def _config(client: AsyncMongoClient[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as failure:
        if failure.code != _NOT_YET_INITIALIZED:
            raise
        return None
    return config


async def warn_of_mongodb_risks(database: Database, *, production: bool) -> None:
    """Log a warning for each risk found; never raises.

    It skips a check that fails, or for which the database user has no permission.
    """
    with pymongo.timeout(CHECK_SECONDS):
        build = await _ask(database, "buildInfo")
        if tuple(build.get("versionArray", OLDEST_VERSION)[:2]) < OLDEST_VERSION:
            oldest = ".".join(map(str, OLDEST_VERSION))
            log.warning("mongodb_version_unsupported", version=build["version"], oldest=oldest)
        parameter = "transactionLifetimeLimitSeconds"
        answer = await _ask(database, "getParameter", **{parameter: 1})
        if (seconds := answer.get(parameter, 0)) > TRANSACTION_SECONDS:
            log.warning("mongodb_transactions_long", seconds=seconds, most=TRANSACTION_SECONDS)
        hello = await _ask(database, "hello") if production else {}
        members = [*hello.get("hosts", []), *hello.get("passives", [])]
        if hello.get("setName") and len(members) < MEMBERS:
            log.warning("mongodb_members_few", members=len(members), needed=MEMBERS)
        config = (await _ask(database, "replSetGetConfig")).get("config", {})
        if not config.get("writeConcernMajorityJournalDefault", True):
            log.warning("mongodb_journal_off")


async def _ask(database: Database, command: str, **options: Any) -> Document:
    answer, why = await ask(database, command, **options)
    if why:
        log.info("mongodb_check_skipped", command=command, why=why)
    return answer


async def ask(database: Database, command: str, **options: Any) -> tuple[Document, str]:
    """Return the answer to a command of the database `admin`, or {} and why there is none."""
    return await _answer_of(database.client, command, **options)


async def ask_members(
    database: Database, members: Sequence[str], command: str, **options: Any
) -> dict[str, tuple[Document, str]]:
    """Return the answers of members of the set, by their addresses, as `ask` does."""

    async def ask_member(address: str) -> tuple[Document, str]:
        async with database.member(address) as client:
            return await _answer_of(client, command, **options)

    answers = await asyncio.gather(*map(ask_member, members))
    return dict(zip(members, answers, strict=True))


async def _answer_of(
    client: AsyncMongoClient[Document], command: str, **options: Any
) -> tuple[Document, str]:
    try:
        return await client.admin.command(command, **options), ""
    except OperationFailure as error:
        return {}, (error.details or {}).get("codeName", str(error.code))
    except PyMongoError as error:
        return {}, type(error).__name__
