"""Checks of MongoDB, Redis and the machines of running servers."""

import ipaddress
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from core.errors import StartupError
from realtime.redis_bus import open_redis
from services.doctor.findings import Examination, Findings
from services.doctor.servers import NO_SERVER
from storage.database import Database, Document
from storage.replica_set import MEMBERS, OLDEST_VERSION, TRANSACTION_SECONDS, ask, ask_members

MONGODB_CHECKS = {
    "mongodb.reached": "a command",
    "mongodb.version": "version",
    "mongodb.members": "members that hold data",
    "mongodb.user": "roles of the user",
    "mongodb.parameters": "parameters of each member, and the configuration",
}
REDIS_CHECKS = {
    "redis.encrypted": "encryption of the connection",
    "redis.messages": "a message published and received",
}
SERVER_CHECKS = {
    "server.open_files": "open files of each process, from its report",
    "server.public_url": "address that WeChat and Tencent call",
    "server.nginx": "nginx in front of the processes",
}
GRANTED = {"readWrite", "dbOwner"}
GRANTED_EVERYWHERE = {"readWriteAnyDatabase", "root"}
USER = "Turn on authorization; create the user with its two roles as in docs/deploy.md, Users."
DENIED = "Unauthorized"
LIFETIME = "transactionLifetimeLimitSeconds"
JOURNAL = "writeConcernMajorityJournalDefault"
PARAMETERS = f"Set {LIFETIME} to {TRANSACTION_SECONDS} as in deploy/mongod.conf, {JOURNAL} to true."
REACH_MEMBERS = (
    "See that each member runs, and that this machine reaches it by its name in the set."
)
REDIS_AWAY = (
    "Check that Redis runs, is one for all processes, and answers this machine at redis.url."
)
REDIS_USER = "Create the user as in deploy/redis.conf, and set redis.url to its name and password."
RECEIVE_SECONDS = 2.0
OPEN_FILES = 65_536
"""LimitNOFILE of the unit."""


async def check_mongodb(examination: Examination, database: Database | None) -> None:
    findings, settings = examination.findings, examination.settings
    if database is None:
        findings.not_used("the embedded database of development")
        return
    hello, why = await ask(database, "hello")
    to_do = "Check that MongoDB runs and that this machine reaches it at mongodb.uri."
    findings.tell("mongodb.reached", why or "an answer", to_do, is_right=not why)
    if why:
        return
    build, _ = await ask(database, "buildInfo")
    judge_version(findings, build)
    if settings.environment != "production":
        names = ("mongodb.members", "mongodb.user", "mongodb.parameters")
        findings.not_used("development", *names)
        return
    judge_members(findings, hello)
    status, _ = await ask(database, "connectionStatus")
    answer, why = await ask(database, "replSetGetConfig")
    config = answer.get("config", {})
    limits = await transaction_limits(database, config)
    if DENIED in limits.values():
        why = DENIED
    judge_user(findings, status, why, settings.mongodb.database)
    if not why:
        judge_parameters(findings, limits, config)
    elif why != DENIED:  # a router of a sharded cluster has no such configuration
        findings.cannot_tell("mongodb.parameters", why, PARAMETERS)


def judge_version(findings: Findings, build: Document) -> None:
    is_right = tuple(build.get("versionArray", OLDEST_VERSION)[:2]) >= OLDEST_VERSION
    to_do = f"Upgrade MongoDB to {'.'.join(map(str, OLDEST_VERSION))} or newer."
    findings.tell("mongodb.version", str(build.get("version")), to_do, is_right=is_right)


def judge_members(findings: Findings, hello: Document) -> None:
    count = len([*hello.get("hosts", []), *hello.get("passives", [])])
    if hello.get("msg") == "isdbgrid":
        findings.cannot_tell("mongodb.members", "a sharded cluster", "Look at each shard.")
    else:
        to_do = f"Make a replica set of {MEMBERS} members: docs/deploy.md, MongoDB."
        findings.tell("mongodb.members", str(count), to_do, is_right=count > 1)


def judge_user(findings: Findings, status: Document, why: str, database: str) -> None:
    """Add the finding about the login and both roles.

    `why` is DENIED if the user may not read the configuration or parameters, for which one of the
    roles is.
    """
    auth = status.get("authInfo", {})
    roles = [(row["role"], row["db"]) for row in auth.get("authenticatedUserRoles", [])]
    may_write = any(
        role in GRANTED_EVERYWHERE or (role in GRANTED and db == database) for role, db in roles
    )
    shown = ", ".join(sorted(role for role, _ in roles)) or "no login, or no role"
    findings.tell("mongodb.user", shown, USER, is_right=may_write and why != DENIED)


async def transaction_limits(database: Database, config: Document) -> dict[str, int | str]:
    """Return the limit of transactions of each member with data, or why it is not known."""
    members = [row["host"] for row in config.get("members", ()) if not row.get("arbiterOnly")]
    answers = await ask_members(database, members, "getParameter", **{LIFETIME: 1})
    return {member: why or answer[LIFETIME] for member, (answer, why) in answers.items()}


def judge_parameters(findings: Findings, limits: Mapping[str, int | str], config: Document) -> None:
    name, is_journaled = "mongodb.parameters", config.get(JOURNAL, True)
    shown = ", ".join(f"{member} {limit}" for member, limit in limits.items())
    shown = f"{LIFETIME} {shown}, {JOURNAL} {is_journaled}"
    known = [limit for limit in limits.values() if isinstance(limit, int)]
    is_right = is_journaled and all(limit <= TRANSACTION_SECONDS for limit in known)
    if is_right and len(known) < len(limits):
        findings.cannot_tell(name, shown, REACH_MEMBERS)
    else:
        findings.tell(name, shown, PARAMETERS, is_right=is_right)


async def check_redis(examination: Examination) -> None:
    findings, url = examination.findings, examination.settings.redis.url
    if not url:
        findings.not_used("redis.url is empty; several processes need it")
        return
    try:
        redis = open_redis(url)
    except StartupError as error:
        findings.tell("redis.encrypted", str(error), "Correct redis.url.", is_right=False)
        return
    to_do = "Set redis.url to rediss://…, and Redis's TLS as in deploy/redis.conf."
    safe = is_encrypted(url)
    shown = "TLS, or this machine" if safe else "no TLS"
    findings.tell("redis.encrypted", shown, to_do, is_right=safe)
    examination.clean_up(redis.aclose)
    name = "redis.messages"
    try:
        received = await _send_to_itself(redis, examination.settings.mongodb.database)
    except (AuthenticationError, NoPermissionError) as error:
        findings.tell(name, type(error).__name__, REDIS_USER, is_right=False)
    except (RedisError, OSError, TimeoutError) as error:
        shown = f"no answer ({type(error).__name__})"
        findings.tell(name, shown, REDIS_AWAY, is_right=False)
    else:
        shown = "received" if received else f"nothing within {RECEIVE_SECONDS:g} s"
        findings.tell(name, shown, REDIS_AWAY, is_right=received)


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
    if limits := [process.open_files for process in serving if process.open_files]:
        is_right = min(limits) >= OPEN_FILES or examination.settings.environment != "production"
        to_do = f"Set LimitNOFILE={OPEN_FILES}, as in deploy/qlive@.service."
        findings.tell("server.open_files", str(min(limits)), to_do, is_right=is_right)
    else:
        findings.cannot_tell("server.open_files", *NO_SERVER)
    to_do = f"From another network: curl -i {url}/healthz"
    findings.cannot_tell("server.public_url", "only another network shows it", to_do)
    to_do = f"From another network: curl -i {url}/metrics must be answered 404 (docs/deploy.md)."
    findings.cannot_tell("server.nginx", "only another network shows it", to_do)
