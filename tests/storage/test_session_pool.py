"""Sessions are recorded before their first use, reused, and ended when in doubt."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from pymongo.errors import AutoReconnect

from core.errors import TryAgain, WriteConflict
from storage import session_pool as module
from storage.database import Collection, Database, Session
from storage.session_pool import SessionPool
from tests.support.orphans import NEVER_SECONDS, is_blocked, leave_open, transaction_lifetime
from tests.support.waiting import run_ready_tasks, until

gen_test = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def endless_transactions(mongo_uri: str) -> Iterator[None]:
    with transaction_lifetime(mongo_uri, NEVER_SECONDS):
        yield


@pytest.fixture
def things(database: Database) -> Collection:
    return database.collection("things")


class RecorderSpy:
    """Keeps the recorded ids; fails while `failing`."""

    def __init__(self) -> None:
        self.calls: list[set[bytes]] = []
        self.failing = False

    async def __call__(self, ids: Sequence[bytes]) -> None:
        if self.failing:
            raise AutoReconnect("not now")
        self.calls.append(set(ids))


@pytest.fixture
def recorder(database: Database) -> RecorderSpy:
    database.sessions.recorder = spy = RecorderSpy()
    return spy


async def used_id(database: Database) -> bytes:
    async def work(session: Session) -> bytes:
        session_id: bytes = session.session_id["id"]
        return session_id

    return await database.transaction(work)


@gen_test
async def test_sessions_are_recorded_before_their_first_use(
    database: Database, recorder: RecorderSpy
) -> None:
    async def work(session: Session) -> None:
        assert session.session_id["id"] in recorder.calls[0]

    await database.transaction(work)


@gen_test
async def test_consecutive_transactions_share_one_recorded_session(
    database: Database, recorder: RecorderSpy
) -> None:
    assert len({await used_id(database) for _ in range(20)}) == 1
    assert len(recorder.calls) == 1


@gen_test
async def test_concurrent_transactions_have_a_session_each_and_few_records(
    database: Database, recorder: RecorderSpy
) -> None:
    all_open = asyncio.Barrier(20)

    async def work(session: Session) -> bytes:
        await all_open.wait()
        session_id: bytes = session.session_id["id"]
        return session_id

    used = await asyncio.gather(*(database.transaction(work) for _ in range(20)))
    assert len(set(used)) == 20
    assert len(recorder.calls) <= 20 // module.BLOCK + 1
    assert recorder.calls[-1] >= set(used)


@gen_test
async def test_no_transaction_runs_on_a_session_that_could_not_be_recorded(
    database: Database, recorder: RecorderSpy
) -> None:
    recorder.failing = True
    for _ in range(3):
        with pytest.raises(AutoReconnect):
            await used_id(database)
    recorder.failing = False
    assert await used_id(database) in recorder.calls[0]
    assert len(recorder.calls[0]) == module.BLOCK, "failures do not make more sessions"


@gen_test
async def test_transactions_beyond_the_limit_wait_and_then_try_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", module.BLOCK)
    pool = SessionPool(database.client, timeout=0.05)
    used: list[bytes] = []
    done = asyncio.Event()

    async def hold() -> None:
        async with pool.session() as session:
            used.append(session.session_id["id"])
            await done.wait()

    holding = [asyncio.ensure_future(hold()) for _ in range(module.BLOCK)]
    await until(lambda: len(used) == module.BLOCK)
    with pytest.raises(TryAgain):
        await hold()
    done.set()
    await asyncio.gather(*holding)
    await hold()
    assert len(set(used)) == module.BLOCK
    await pool.close()


# ---- transactions in doubt


@pytest.mark.parametrize(
    "error", [AutoReconnect("gone"), asyncio.CancelledError(), WriteConflict()]
)
@pytest.mark.usefixtures("endless_transactions")
@gen_test
async def test_transaction_whose_abort_may_be_lost_is_ended(
    database: Database, things: Collection, error: BaseException
) -> None:
    await things.insert_one({"_id": "blocked", "n": 0})
    with pytest.raises(type(error)):
        await leave_open(database, error)
    assert await is_blocked(database)
    before = list(database.sessions.ids)
    await database.sessions.end_doubtful()
    assert not await is_blocked(database)
    assert await used_id(database) in before, "its session is used again"


@pytest.mark.usefixtures("endless_transactions")
@gen_test
async def test_session_in_doubt_is_kept_until_its_transaction_is_ended(
    database: Database, things: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await things.insert_one({"_id": "blocked", "n": 0})
    with pytest.raises(AutoReconnect):
        await leave_open(database, AutoReconnect("gone"))
    pool = database.sessions

    async def unreachable(_ids: Sequence[bytes]) -> None:
        raise AutoReconnect("not now")

    with monkeypatch.context() as patch:
        patch.setattr(pool, "kill", unreachable)
        with pytest.raises(AutoReconnect):
            await pool.end_doubtful()
    assert await is_blocked(database)
    await pool.end_doubtful()
    assert not await is_blocked(database)


@pytest.mark.usefixtures("endless_transactions")
@gen_test
async def test_sessions_in_doubt_are_ended_for_the_next_transaction_when_no_other_is_left(
    database: Database, things: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", module.BLOCK)
    await things.insert_one({"_id": "blocked", "n": 0})
    with pytest.raises(AutoReconnect):
        await leave_open(database, AutoReconnect("gone"))
    for _ in range(module.BLOCK - 1):
        with pytest.raises(AutoReconnect):
            async with database.sessions.session():
                raise AutoReconnect("gone")
    await used_id(database)
    assert not await is_blocked(database)
    assert len(database.sessions.ids) == module.BLOCK


@gen_test
async def test_transaction_that_finds_the_sessions_in_doubt_being_ended_waits_for_that(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", module.BLOCK)
    pool, looks = database.sessions, 0
    for _ in range(module.BLOCK):
        with pytest.raises(AutoReconnect):
            async with pool.session():
                raise AutoReconnect("gone")
    may_end = asyncio.Event()
    look = pool._growth.get

    async def end(_ids: Sequence[bytes]) -> None:
        await may_end.wait()

    async def count_look() -> None:
        nonlocal looks
        looks += 1
        await look()

    monkeypatch.setattr(pool, "kill", end)
    monkeypatch.setattr(pool._growth, "get", count_look)
    ending = asyncio.ensure_future(pool.end_doubtful())
    await run_ready_tasks()
    transaction = asyncio.ensure_future(used_id(database))
    await run_ready_tasks(50)
    assert looks == 1
    may_end.set()
    await asyncio.gather(ending, transaction)
    assert looks == 1


@gen_test
async def test_session_of_a_refused_transaction_is_not_in_doubt(
    database: Database, commands: list[str]
) -> None:
    with pytest.raises(TryAgain):
        async with database.sessions.session():
            raise TryAgain
    await database.sessions.end_doubtful()
    assert "killSessions" not in commands
