"""Checks of MongoDB, Redis and the machines of running servers."""

import ipaddress
import secrets
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from realtime.redis_bus import open_redis
from services.doctor.findings import Examination, Findings
from storage.database import Database, Document
from storage.replica_set import MEMBERS, OLDEST_VERSION, TRANSACTION_SECONDS, ask

MONGODB_CHECKS = {
    "mongodb.reached": "a command",
    "mongodb.version": "version",
    "mongodb.members": "members that hold data",
    "mongodb.user": "roles of the user",
    "mongodb.parameters": "parameters and configuration",
}
REDIS_CHECKS = {
    "redis.encrypted": "encryption of the connection",
    "redis.user": "login, and rights of the user",
    "redis.messages": "a message published and received",
}
SERVER_CHECKS = {
    "server.open_files": "open files of each process, from its report",
    "server.public_url": "address that WeChat and Tencent call",
    "server.nginx": "nginx in front of the processes",
}
GRANTED = {"readWrite", "dbOwner"}
GRANTED_EVERYWHERE = {"readWriteAnyDatabase", "root"}
USER = "Create the user with the roles readWrite and startChecks: docs/deploy.md, Users."
REDIS_USER = "Create the user as in deploy/redis.conf, and set redis.url to its name and password."
RECEIVE_SECONDS = 2.0
OPEN_FILES = 65_536
"""LimitNOFILE of the unit."""


async def check_mongodb(examination: Examination, database: Database | None) -> None:
    findings = examination.findings
    if database is None:
        findings.not_used("the embedded database of development")
        return
    hello, why = await ask(database, "hello")
    build, _ = await ask(database, "buildInfo")
    if why:
        to_do = "See that MongoDB runs, that this machine reaches it, and mongodb.uri."
        findings.wrong("mongodb.reached", why, to_do)
        return
    status, _ = await ask(database, "connectionStatus")
    lifetime = "transactionLifetimeLimitSeconds"
    parameters, denied = await ask(database, "getParameter", **{lifetime: 1})
    config, _ = await ask(database, "replSetGetConfig")
    findings.right("mongodb.reached", str(hello.get("setName", "")))
    judge_version(findings, build)
    if examination.settings.environment != "production":
        names = ("mongodb.members", "mongodb.user", "mongodb.parameters")
        findings.not_used("development", *names)
        return
    judge_members(findings, hello)
    if judge_user(findings, status, denied, examination.settings.mongodb.database):
        judge_parameters(findings, parameters.get(lifetime, 0), config.get("config", {}))


def judge_version(findings: Findings, build: Document) -> None:
    version, oldest = str(build.get("version", "")), ".".join(map(str, OLDEST_VERSION))
    if tuple(build.get("versionArray", ())[:2]) < OLDEST_VERSION:
        findings.wrong("mongodb.version", version, f"Upgrade MongoDB to {oldest} or newer.")
    else:
        findings.right("mongodb.version", version)


def judge_members(findings: Findings, hello: Document) -> None:
    count = len([*hello.get("hosts", []), *hello.get("passives", [])])
    shown = f"{count} members" if count != 1 else "one member"
    if hello.get("msg") == "isdbgrid":
        findings.cannot_tell("mongodb.members", "a sharded cluster", "Look at each shard.")
    elif count > 1:
        to_do = "" if count >= MEMBERS else "With a third member, changes go on when one fails."
        findings.right("mongodb.members", shown, to_do)
    else:
        to_do = f"Make a replica set of {MEMBERS} members: docs/deploy.md, MongoDB."
        findings.wrong("mongodb.members", shown, to_do)


def judge_user(findings: Findings, status: Document, denied: str, database: str) -> bool:
    """Add the finding about the user; return whether it may read the parameters."""
    auth = status.get("authInfo", {})
    roles = [(row["role"], row["db"]) for row in auth.get("authenticatedUserRoles", [])]
    shown = ", ".join(sorted(role for role, _ in roles))
    if not auth.get("authenticatedUsers"):
        to_do = f"Turn on authorization as in deploy/mongod.conf. {USER}"
        findings.wrong("mongodb.user", "no login is required", to_do)
    elif denied or not any(
        role in GRANTED_EVERYWHERE or (role in GRANTED and db == database) for role, db in roles
    ):
        findings.wrong("mongodb.user", shown or "no role", USER)
    else:
        findings.right("mongodb.user", shown)
    return not denied


def judge_parameters(findings: Findings, seconds: int, config: Document) -> None:
    name = "mongodb.parameters"
    if seconds > TRANSACTION_SECONDS:
        shown = f"transactionLifetimeLimitSeconds is {seconds}"
        to_do = f"Set it to {TRANSACTION_SECONDS} on every member, as in deploy/mongod.conf."
        findings.wrong(name, shown, to_do)
    elif not config.get("writeConcernMajorityJournalDefault", True):
        shown = "writeConcernMajorityJournalDefault is false"
        findings.wrong(name, shown, "Set it to true with rs.reconfig.")
    else:
        findings.right(name, f"transactionLifetimeLimitSeconds is {seconds}")


async def check_redis(examination: Examination) -> None:
    findings, url = examination.findings, examination.settings.redis.url
    if not url:
        findings.not_used("redis.url is empty; several processes need it")
        return
    if is_encrypted(url):
        findings.right("redis.encrypted", "TLS, or this machine")
    else:
        to_do = "Set redis.url to rediss://…, and Redis's TLS as in deploy/redis.conf."
        findings.wrong("redis.encrypted", "no TLS", to_do)
    redis = open_redis(url)
    examination.stack.push_async_callback(redis.aclose)
    try:
        received = await _send_to_itself(redis, examination.settings.mongodb.database)
    except (AuthenticationError, NoPermissionError) as error:
        findings.wrong("redis.user", type(error).__name__, REDIS_USER)
    except (RedisError, OSError, TimeoutError) as error:
        to_do = "See that Redis runs, that this machine reaches it, and redis.url."
        findings.wrong("redis.user", f"no answer ({type(error).__name__})", to_do)
    else:
        findings.right("redis.user", "may publish and subscribe")
        if received:
            findings.right("redis.messages", "received")
        else:
            to_do = "See that all processes use the same Redis, not one of several."
            findings.wrong("redis.messages", f"nothing within {RECEIVE_SECONDS:g} s", to_do)


def is_encrypted(url: str) -> bool:
    """Return whether the connection is encrypted, or stays on this machine."""
    parts = urlsplit(url)
    if parts.scheme in ("rediss", "unix") or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


async def _send_to_itself(redis: Redis, prefix: str) -> bool:
    channel = f"{prefix}:doctor:{secrets.token_hex(8)}"
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(channel)
        await pubsub.get_message(timeout=RECEIVE_SECONDS)  # the confirmation
        await redis.publish(channel, b"doctor")
        return bool(await pubsub.get_message(timeout=RECEIVE_SECONDS))


async def check_servers(examination: Examination) -> None:
    """Check what running servers have reported; the rest cannot be told from inside."""
    findings, url = examination.findings, examination.settings.server.public_url
    serving = await examination.servers.serving()
    limits = [process.open_files for process in serving if process.open_files]
    if not limits:
        to_do = "Repeat it with a server."
        findings.cannot_tell("server.open_files", "no server has reported", to_do)
    elif examination.settings.environment != "production" or min(limits) >= OPEN_FILES:
        findings.right("server.open_files", str(min(limits)))
    else:
        to_do = f"Set LimitNOFILE={OPEN_FILES}, as in deploy/qlive@.service."
        findings.wrong("server.open_files", str(min(limits)), to_do)
    to_do = f"From another network: curl -i {url}/healthz"
    findings.cannot_tell("server.public_url", "not from inside", to_do)
    to_do = f"From another network: curl -i {url}/metrics must be answered 404 (docs/deploy.md)."
    findings.cannot_tell("server.nginx", "not from inside", to_do)
