"""The replica set of one member that the embedded MongoDB is, since only replica sets know
transactions."""

import asyncio
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from storage.mongod_folder import port_in

NAME = "qlive"
_ALREADY_INITIALIZED, _NOT_YET_INITIALIZED, _CONFIGURATION_IN_PROGRESS = 23, 94, 109
_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 2


def uri_of(port: int) -> str:
    """Direct, so that a client does not care which host name the replica set has for itself;
    polled, which saves a connection: a member that is on the same machine fails audibly."""
    return f"mongodb://127.0.0.1:{port}/?directConnection=true&serverMonitoringMode=poll"


async def become_primary(port: int) -> None:
    """Initiates the set, or tells it its new port, and returns when it takes writes.

    The client used is closed before anybody else connects: one that has seen the member before
    initiation goes on saying "Sessions are not supported". The caller bounds the wait: a member
    whose former port belongs to a program that says nothing asks there for 30 s whether it is
    itself, and answers replSetInitiate only then.
    """
    limit = _ANSWER_SECONDS * 1000
    client = AsyncMongoClient[dict[str, Any]](
        uri_of(port), serverSelectionTimeoutMS=limit, connectTimeoutMS=limit
    )
    try:
        while not (await client.admin.command("hello")).get("isWritablePrimary"):
            await _configure(client, f"127.0.0.1:{port}")
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        # Shielded: one whose closing is cancelled keeps its connections and its tasks.
        await asyncio.shield(client.close())


async def _configure(client: AsyncMongoClient[dict[str, Any]], host: str) -> None:
    try:
        config = await _config(client)
        if config is None:
            first = {"_id": NAME, "members": [{"_id": 0, "host": host}]}
            await client.admin.command("replSetInitiate", first)
        elif config["members"][0]["host"] != host:
            # Forced, since a member that does not find itself in the set cannot be its primary.
            config["members"][0]["host"] = host
            await client.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as failure:
        # A member that is still reading its own configuration; the caller asks again.
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


def running_uri(data_dir: Path) -> str | None:
    """Where the embedded MongoDB of a running server answers; None when none does.

    For the other commands. Blocks, at most for a few seconds.
    """
    port = port_in(data_dir)
    if port is None:
        return None
    limit = _ANSWER_SECONDS * 1000
    with MongoClient[dict[str, Any]](
        uri_of(port), serverSelectionTimeoutMS=limit, connectTimeoutMS=limit, socketTimeoutMS=limit
    ) as client:
        try:
            options = client.admin.command("getCmdLineOpts")["parsed"]
        except PyMongoError:
            return None
    # By now the port may belong to somebody else's mongod.
    ours = options.get("storage", {}).get("dbPath") == str(data_dir.resolve())
    return uri_of(port) if ours else None
