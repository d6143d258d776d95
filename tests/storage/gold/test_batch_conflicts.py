"""Gifts in several rooms on a real MongoDB, whose transactions fail at any command."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import permutations
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from pymongo.errors import OperationFailure
from tornado.ioloop import IOLoop

from core.errors import TryAgain
from rooms.members import Person
from storage.database import Database, Document, Session
from tests.support.gift_fixture import NO_EVENT, event_references
from tests.support.hypothesis_profiles import example_settings
from tests.support.storage import NAME, GiftProcess, StoresFixture, rose
from tests.support.stored_rooms import open_room

ROOMS = 3
GOLD = 1_000_000
CONFLICT = OperationFailure("conflict", 112, {"errorLabels": ["TransientTransactionError"]})
Fault = Literal["conflict", "killed"]
Pair = tuple[int, int]
"""Giver and receiver; two in a row are in one room."""

PAIRS = st.sampled_from([*permutations(range(2 * ROOMS), 2)])
PAIRS |= st.sampled_from([(2 * n, 2 * n + 1) for n in range(ROOMS)])
FAULTS = st.dictionaries(
    st.integers(0, 25), st.sampled_from(["conflict", "conflict", "killed"]), min_size=1, max_size=3
)


class FailingDatabase(Database):
    """Fails commands of transactions, commits among them, by number."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, NAME)
        self.fail({})

    def fail(self, faults: Mapping[int, Fault]) -> None:
        self._faults = iter([faults.get(n) for n in range(max(faults, default=-1) + 1)])

    async def command(self, command: Document, session: Session) -> Document:
        fault = next(self._faults, None)
        if fault == "killed":
            await self._kill(session)
        reply = await super().command(command, session)
        if fault == "conflict":
            raise CONFLICT
        return reply

    async def transaction(self, work: Callable[[Session], Awaitable[Any]]) -> Any:
        async def write(session: Session) -> Any:
            result = await work(session)
            fault = next(self._faults, None)  # of the commit
            if fault == "conflict":
                raise CONFLICT
            if fault == "killed":
                await self._kill(session)
            return result

        return await super().transaction(write)

    async def _kill(self, session: Session) -> None:
        """The server aborts the transaction: its next command has a TransientTransactionError."""
        await self.client.admin.command("killSessions", [session.session_id])


@pytest.fixture
def failing_database(io_loop: IOLoop, mongo_uri: str) -> Iterator[FailingDatabase]:
    database = FailingDatabase(mongo_uri)
    yield database
    io_loop.run_sync(database.close)


async def users_in_rooms(stores: StoresFixture) -> list[str]:
    """Users with gold, two in each room, in a database without anything of the example before."""
    for name in ("users", "ledger", "rankings", "rooms", "members", "identities"):
        await stores.rows(name).delete_many({})
    users = await stores.create_users(*[(GOLD, 0)] * (2 * ROOMS))
    for n in range(ROOMS):
        viewers = map(Person, users[2 * n : 2 * n + 2])
        await open_room(stores, *viewers, host=Person(f"host{n}", gender=2))
    return users


@example_settings(
    10,
    phases=[Phase.generate],  # to shrink a failed example takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(pairs=st.lists(PAIRS, min_size=6, max_size=24), faults=FAULTS)
def test_a_conflict_at_any_command_of_a_batch_loses_and_doubles_nothing(
    io_loop: IOLoop,
    stores: StoresFixture,
    failing_database: FailingDatabase,
    pairs: list[Pair],
    faults: dict[int, Fault],
) -> None:
    async def run() -> None:
        users = await users_in_rooms(stores)
        process = GiftProcess(StoresFixture(failing_database))
        failing_database.fail(faults)
        gifts = [rose(users[a], users[b], f"{number}") for number, (a, b) in enumerate(pairs)]
        results = await asyncio.gather(*map(process.give, gifts), return_exceptions=True)
        failing_database.fail({})
        given = {
            gift.key: result
            for gift, result in zip(gifts, results, strict=True)
            if not isinstance(result, TryAgain)  # after too many conflicts
        }
        entries = await stores.entries(kind="gift")
        assert {entry["_id"]: entry["answer"] for entry in entries} == given
        assert given
        references = [name for name in event_references(entries) if name != NO_EVENT]
        events = [(live_id, (seq, "gift")) for live_id, _, seq in references]
        calls = process.listener.calls
        published = [(live_id, event) for _, live_id, *events in calls for event in events]
        assert sorted(published) == sorted(events)
        await stores.check_ledger()

    io_loop.run_sync(run)
