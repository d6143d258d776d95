"""Sessions of operators on a real MongoDB."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database import Database
from storage.operators.operators import IDLE, LIFETIME, OperatorSessionStore

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def sessions(database: Database) -> OperatorSessionStore:
    return OperatorSessionStore(database)


async def age(database: Database, *, used: timedelta, made: timedelta) -> None:
    """As if the only session was made and used so long ago."""
    now = datetime.now(UTC)
    used_at, made_at = now - used, now - made
    times: dict[str, Any] = {"used_at": used_at, "made_at": made_at}
    times["expires_at"] = min(used_at + IDLE, made_at + LIFETIME)
    await database.collection("operator_sessions").update_one({}, {"$set": times})


async def test_use_by_a_person_defers_the_end_and_the_console_by_itself_does_not(
    database: Database, sessions: OperatorSessionStore
) -> None:
    token, _ = await sessions.issue("anna", "c")
    assert token not in str(await database.collection("operator_sessions").find_one())
    await age(database, used=20 * MINUTE, made=HOUR)
    before = await sessions.find(token, in_use=False)
    assert before == await sessions.find(token, in_use=False)
    await sessions.find(token, in_use=True)
    after = await sessions.find(token, in_use=False)
    assert before
    assert after
    assert after.expires_at - before.expires_at >= 20 * MINUTE
    await age(database, used=IDLE, made=HOUR)
    assert await sessions.find(token, in_use=True) is None


async def test_a_session_ends_at_latest_after_its_lifetime_however_often_it_is_used(
    database: Database, sessions: OperatorSessionStore
) -> None:
    token, _ = await sessions.issue("anna", "c")
    await age(database, used=5 * MINUTE, made=LIFETIME - MINUTE)
    renewed = await sessions.find(token, in_use=True)
    assert renewed
    assert renewed.expires_at - datetime.now(UTC) <= MINUTE
    await age(database, used=timedelta(0), made=LIFETIME)
    assert await sessions.find(token, in_use=True) is None
    token, _ = await sessions.issue("anna", "c")
    await sessions.end(token)
    assert await sessions.find(token, in_use=True) is None
