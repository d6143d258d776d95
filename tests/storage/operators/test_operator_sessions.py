from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database import Database
from storage.operators.operators import OperatorSessionStore

IDLE, LIFETIME = timedelta(minutes=30), timedelta(hours=12)


@pytest.fixture
def sessions(database: Database) -> OperatorSessionStore:
    return OperatorSessionStore(database, IDLE, LIFETIME)


async def age(database: Database, *, used: timedelta, made: timedelta) -> None:
    """As if the only session was made and used so long ago."""
    now = datetime.now(UTC)
    used_at, made_at = now - used, now - made
    times: dict[str, Any] = {"used_at": used_at, "made_at": made_at}
    times["expires_at"] = min(used_at + IDLE, made_at + LIFETIME)
    await database.collection("operator_sessions").update_one({}, {"$set": times})


async def test_a_session_ends_without_use(
    database: Database, sessions: OperatorSessionStore
) -> None:
    token, _ = await sessions.issue("anna", "c")
    await age(database, used=IDLE - timedelta(minutes=1), made=timedelta(hours=1))
    assert await sessions.find(token, in_use=False)
    await age(database, used=IDLE, made=timedelta(hours=1))
    assert await sessions.find(token, in_use=True) is None


async def test_use_defers_the_end_and_the_console_by_itself_does_not(
    database: Database, sessions: OperatorSessionStore
) -> None:
    token, _ = await sessions.issue("anna", "c")
    await age(database, used=timedelta(minutes=20), made=timedelta(hours=1))
    before = await sessions.find(token, in_use=False)
    assert before == await sessions.find(token, in_use=False)
    await sessions.find(token, in_use=True)
    after = await sessions.find(token, in_use=False)
    assert before
    assert after
    assert after.expires_at - before.expires_at >= timedelta(minutes=20)


async def test_a_session_ends_at_latest_after_its_lifetime_however_often_it_is_used(
    database: Database, sessions: OperatorSessionStore
) -> None:
    token, _ = await sessions.issue("anna", "c")
    await age(database, used=timedelta(minutes=5), made=LIFETIME - timedelta(minutes=1))
    renewed = await sessions.find(token, in_use=True)
    assert renewed
    assert renewed.expires_at - datetime.now(UTC) <= timedelta(minutes=1)
    await age(database, used=timedelta(0), made=LIFETIME)
    assert await sessions.find(token, in_use=True) is None


async def test_a_shorter_setting_ends_older_sessions_too(
    database: Database, sessions: OperatorSessionStore
) -> None:
    token, _ = await sessions.issue("anna", "c")
    await age(database, used=timedelta(0), made=timedelta(hours=2))
    shorter = OperatorSessionStore(database, IDLE, timedelta(hours=1))
    assert await shorter.find(token, in_use=False) is None


async def test_the_database_reveals_no_token(
    database: Database, sessions: OperatorSessionStore
) -> None:
    token, _ = await sessions.issue("anna", "c")
    assert token not in str(await database.collection("operator_sessions").find_one())
    await sessions.end(token)
    assert await sessions.find(token, in_use=True) is None


async def test_mongodb_deletes_ended_sessions(
    database: Database, sessions: OperatorSessionStore
) -> None:
    await sessions.make_indexes()
    indexes = await database.collection("operator_sessions").index_information()
    assert indexes["expires_at_1"]["expireAfterSeconds"] == 0
