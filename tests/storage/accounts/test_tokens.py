"""Login tokens, and eviction messages between processes, on a real MongoDB."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from storage.accounts.tokens import MAX_PER_USER, OVERLAP, USER_DIGITS, EvictionStore
from storage.documents import token_id
from tests.support.database import blocked_writes
from tests.support.storage import NAME, StoresFixture
from tests.support.waiting import run_ready_tasks, until


async def rows(stores: StoresFixture) -> list[dict[str, Any]]:
    return await stores.rows("tokens").find().sort("made_at", 1).to_list()


async def issue(stores: StoresFixture, user_id: str) -> str:
    token, _ = await stores.tokens.issue(user_id)
    return token


async def shift(stores: StoresFixture, **times: timedelta) -> None:
    """Shift these times of every token."""
    for row in await rows(stores):
        shifted = {name: row[name] + delta for name, delta in times.items()}
        await stores.rows("tokens").update_one({"_id": row["_id"]}, {"$set": shifted})


async def test_token_identifies_its_user_and_is_not_in_the_database(stores: StoresFixture) -> None:
    token = await issue(stores, "anna")
    assert re.fullmatch("[0-9a-f]{40}", token)
    assert await stores.tokens.user_id_of(token) == "anna"
    (row,) = await rows(stores)
    assert token not in str(row)
    for other in (row["_id"], "", "0" * 40):
        assert await stores.tokens.user_id_of(other) is None
    second, bert = await issue(stores, "anna"), await issue(stores, "bert")
    digits = [issued[:USER_DIGITS] for issued in (token, second, bert)]
    assert digits[0] == digits[1] != digits[2], "nginx sends a user to one process"
    assert token[USER_DIGITS:] != second[USER_DIGITS:]


# ---- ends of sessions


async def test_revoked_token_is_invalid_and_other_tokens_stay_valid(stores: StoresFixture) -> None:
    first, second = await issue(stores, "anna"), await issue(stores, "anna")
    for _ in range(2):
        await stores.tokens.revoke(first)
    assert await stores.tokens.user_id_of(first) is None
    assert await stores.tokens.user_id_of(second) == "anna"
    assert await stores.tokens.revoked_owner(first) == ("anna", False)
    await stores.tokens.mark_logout_complete(first)
    assert await stores.tokens.revoked_owner(first) == ("anna", True)
    for token in (second, "0" * 40):
        assert await stores.tokens.revoked_owner(token) is None


async def test_sessions_are_the_valid_tokens_with_their_last_use(stores: StoresFixture) -> None:
    first = await issue(stores, "anna")
    yesterday = {"used_at": timedelta(days=-1), "expires_at": timedelta(days=-1)}
    await shift(stores, made_at=timedelta(days=-2), **yesterday)
    second, revoked = await issue(stores, "anna"), await issue(stores, "anna")
    await issue(stores, "bert")
    await stores.tokens.revoke(revoked)
    newest, oldest = await stores.tokens.sessions("anna")
    assert (newest.id, oldest.id) == (token_id(second), token_id(first))
    assert newest.used_at == newest.made_at
    assert oldest.used_at - oldest.made_at == timedelta(days=1)
    await stores.tokens.user_id_of(first)
    assert (await stores.tokens.sessions("anna"))[1].used_at > newest.made_at - timedelta(minutes=1)


async def test_ended_sessions_are_invalid_and_keep_their_owner(stores: StoresFixture) -> None:
    tokens = [await issue(stores, "anna") for _ in range(3)]
    ids = [token_id(token) for token in tokens]
    bert = await issue(stores, "bert")
    assert await stores.tokens.end_sessions("bert", ids[0]) == [], "not a session of this user"
    assert await stores.tokens.end_sessions("anna", ids[0]) == [ids[0]]
    assert await stores.tokens.end_sessions("anna", ids[0]) == []
    assert [await stores.tokens.user_id_of(token) for token in tokens] == [None, "anna", "anna"]
    assert set(await stores.tokens.end_sessions("anna")) == set(ids[1:])
    owners = [await stores.tokens.revoked_owner(token) for token in tokens]
    assert owners == [("anna", True)] * 3, "no logout to complete"
    assert await stores.tokens.user_id_of(bert) == "bert"


async def test_oldest_valid_token_is_dropped_above_the_limit(stores: StoresFixture) -> None:
    revoked = await issue(stores, "anna")
    await stores.tokens.revoke(revoked)
    bert = await issue(stores, "bert")
    tokens, dropped = [], []
    for _ in range(MAX_PER_USER + 1):
        await shift(stores, made_at=timedelta(minutes=-1))
        token, old = await stores.tokens.issue("anna")
        tokens.append(token)
        dropped.append(old)
    assert dropped == [*[[]] * MAX_PER_USER, [token_id(tokens[0])]]
    owners = [await stores.tokens.user_id_of(token) for token in [*tokens, bert]]
    assert owners == [None, *["anna"] * MAX_PER_USER, "bert"]
    assert await stores.tokens.revoked_owner(revoked) == ("anna", False)


# ---- lifetime


async def test_token_ends_when_unused_or_after_its_absolute_lifetime(
    stores: StoresFixture, commands: list[str]
) -> None:
    expired = await issue(stores, "anna")
    await shift(stores, expires_at=timedelta(days=-30, seconds=-1))
    old = await issue(stores, "bert")
    await shift(stores, made_at=timedelta(days=-180))  # an earlier setting renewed it for longer
    valid, revoked = await issue(stores, "carl"), await issue(stores, "carl")
    await stores.tokens.revoke(revoked)
    tokens = [valid, expired, old, revoked, "deleted"]
    owners = [await stores.tokens.user_id_of(token) for token in tokens]
    assert owners == ["carl", None, None, None, None]
    assert await stores.tokens.sessions("bert") == []
    ids = [token_id(token) for token in tokens]
    commands.clear()
    owners_of_invalid = dict(zip(ids[1:], ["anna", "bert", "carl", None], strict=True))
    assert await stores.tokens.invalid(ids) == owners_of_invalid
    assert commands == ["find"]


async def test_use_extends_a_token_within_its_absolute_lifetime(stores: StoresFixture) -> None:
    token = await issue(stores, "anna")
    before = await rows(stores)
    assert await stores.tokens.user_id_of(token) == "anna"
    assert await rows(stores) == before, "it is fresh"
    await shift(stores, expires_at=timedelta(days=-29))
    assert await stores.tokens.user_id_of(token) == "anna"
    (row,) = await rows(stores)
    assert row["expires_at"] > datetime.now(UTC) + timedelta(days=29, hours=23)
    await shift(stores, made_at=timedelta(days=-170), expires_at=timedelta(days=-29))
    for _ in range(2):
        assert await stores.tokens.user_id_of(token) == "anna"
        (row,) = await rows(stores)
        assert row["expires_at"] == row["made_at"] + timedelta(days=180)


async def use_is_queued(commands: list[str], reads: int) -> None:
    """Wait until tokens were read `reads` times, and what waits for the reads has gone on."""
    await until(lambda: sum(name in ("find", "aggregate") for name in commands) >= reads)
    await run_ready_tasks()


async def test_token_that_ends_before_its_use_is_stored_is_invalid_and_not_extended(
    stores: StoresFixture, mongo: MongoClient[Any], commands: list[str]
) -> None:
    valid, waiting, revoked = [await issue(stores, name) for name in ("anna", "bert", "carl")]
    await shift(stores, used_at=-timedelta(hours=2))
    commands.clear()
    with blocked_writes(mongo[NAME].tokens, token_id(valid)):
        uses = [asyncio.ensure_future(stores.tokens.user_id_of(valid))]
        await use_is_queued(commands, 1)
        uses += [
            asyncio.ensure_future(stores.tokens.user_id_of(token)) for token in (waiting, revoked)
        ]
        await use_is_queued(commands, 2)
        await stores.tokens.revoke(revoked)
    assert await asyncio.gather(*uses) == ["anna", "bert", None]
    ends = {row["user_id"]: row["expires_at"] for row in await rows(stores)}
    assert ends["carl"] < datetime.now(UTC) + timedelta(days=1, minutes=1) < ends["bert"]


async def test_token_is_read_with_its_user_and_its_use_is_stored(stores: StoresFixture) -> None:
    anna, _ = await stores.users.create("wx", "anna")
    token, other = await issue(stores, anna.user_id), await issue(stores, "99999999")
    await shift(stores, used_at=-timedelta(hours=2), expires_at=-timedelta(hours=2))
    (before, _) = await rows(stores)
    assert await stores.tokens.user_of(token) == await stores.users.get(anna.user_id)
    (after, _) = await rows(stores)
    assert after["used_at"] > before["used_at"]
    assert after["expires_at"] > before["expires_at"]
    assert await stores.tokens.user_of("0" * 40) is None
    assert await stores.tokens.user_of(other) is None, "there is no such user"
    await stores.tokens.revoke(token)
    assert await stores.tokens.user_of(token) is None


# ---- evictions


async def polled_store(stores: StoresFixture) -> EvictionStore:
    """The store of a process after its first poll."""
    store = EvictionStore(stores.database)
    assert await store.poll() == []
    return store


async def insert_message(stores: StoresFixture, message: bytes, ago: timedelta) -> None:
    """Insert a message that becomes visible now, stamped `ago` earlier."""
    at = await stores.database.now() - ago
    rows = stores.rows("evictions")
    await rows.insert_one({"_id": ObjectId(), "message": message, "at": at})


async def test_every_process_reads_each_message_since_its_start_once(stores: StoresFixture) -> None:
    await stores.evictions.append(b"before")
    first, second = await polled_store(stores), await polled_store(stores)
    await first.append(b"$NOW")
    assert await first.poll() == [b"$NOW"]
    await second.append(b"\x00\xff")
    assert await first.poll() == [b"\x00\xff"]
    assert await second.poll() == [b"$NOW", b"\x00\xff"]
    await asyncio.gather(*(first.append(b"%d" % n) for n in range(10)))
    for store in (first, second):
        assert sorted(await store.poll()) == [b"%d" % n for n in range(10)]
        assert await store.poll() == []


async def test_message_that_becomes_visible_late_is_read_in_order(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    await store.append(b"on time")
    assert await store.poll() == [b"on time"]
    await insert_message(stores, b"second", timedelta(seconds=1))
    await insert_message(stores, b"first", OVERLAP - timedelta(seconds=2))
    await insert_message(stores, b"too old", OVERLAP * 2)
    await store.append(b"third")
    assert await store.poll() == [b"first", b"second", b"third"]
    assert await store.poll() == []
    await insert_message(stores, b"last", -OVERLAP * 4)
    assert await store.poll() == [b"last"]
    await insert_message(stores, b"long before it", timedelta())
    await insert_message(stores, b"shortly before it", -OVERLAP * 4 + timedelta(seconds=1))
    assert await store.poll() == [b"shortly before it"], "the overlap is counted from the latest"
