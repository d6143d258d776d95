"""Batches of several rooms on a real MongoDB, whose transactions fail at any command."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from pymongo.errors import OperationFailure
from tornado.ioloop import IOLoop

from core.errors import QLiveError
from rooms.members import Person
from rooms.room import Room
from services.keeper import Keeper, Preparation
from storage.database import Database, Document, Session
from storage.gold.ledger import LedgerStore
from storage.gold.ledger_reconciler import LedgerReconciler
from tests.rooms.test_properties import RoomModel
from tests.support.gift_fixture import give_in_any_room
from tests.support.hypothesis_profiles import example_settings
from tests.support.keeper import RecordingListener
from tests.support.room_builders import NOW
from tests.support.storage import NAME, StoresFixture, rose
from tests.support.stored_rooms import load_room, open_room

ROOMS = 3
GOLD = 1_000_000
CONFLICT = OperationFailure("conflict", 112, {"errorLabels": ["TransientTransactionError"]})
Fault = Literal["conflict", "killed"]
Call = tuple[str, int, int]
"""Action, number of the room, and which of its two viewers."""

ACTIONS = ["gift"] * 4 + ["accept"] * 3 + ["apply", "leave_mic"] * 2 + ["leave", "remove"]
CALLS = st.tuples(st.sampled_from(ACTIONS), st.integers(0, ROOMS - 1), st.integers(0, 1))
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


class LivesFixture:
    """Three live rooms, and calls that change them at once."""

    def __init__(self, stores: StoresFixture, database: FailingDatabase) -> None:
        self.stores = stores
        self.database = database
        self.listener = RecordingListener()
        self.keeper = Keeper(StoresFixture(database).rooms, self.listener)
        gifts = LedgerStore(database, StoresFixture(database).rankings)
        self.preparation: Preparation[Any, Any] = Preparation(
            gifts.load_context, lambda context, writes: gifts.add_writes(writes, context.batch)
        )

    async def begin(self) -> None:
        """Open the rooms in a database without anything of the example before."""
        for name in ("users", "ledger", "rankings", "rooms", "members", "outbox"):
            await self.stores.database.collection(name).delete_many({})
        (self.giver,) = await self.stores.create_users((GOLD, 0))
        created = [self.stores.users.create("app", f"{n}") for n in range(3 * ROOMS)]
        users = [user.user_id for user, _ in await asyncio.gather(*created)]
        self.hosts = [Person(user_id, "host", "", 2) for user_id in users[:ROOMS]]
        self.viewers = [Person(user_id, "viewer", "", 1) for user_id in users[ROOMS:]]
        self.live_ids = [
            await open_room(self.stores, *self.viewers[2 * n : 2 * n + 2], host=host)
            for n, host in enumerate(self.hosts)
        ]

    async def send(self, number: int, call: Call) -> Any:
        """The number is the name of a stream or gift that only this call makes."""
        action, room_number, viewer = call
        live_id, host = self.live_ids[room_number], self.hosts[room_number].user_id
        person, name = self.viewers[2 * room_number + viewer], f"{number}"
        user_id = person.user_id
        if action == "gift":
            transfer = rose(self.giver, user_id, name)
            return await self.keeper.change_prepared(
                live_id,
                self.preparation,
                transfer,
                lambda room, context: give_in_any_room(room, context, transfer),
                user_id,
            )
        rules: dict[str, Callable[[Room], Any]] = {
            "accept": lambda room: room.accept(person, "open", name, name).stream,
            "apply": lambda room: room.apply(person, NOW + 10**12, 600),
            "leave_mic": lambda room: room.leave_mic(host, user_id),
            "leave": lambda room: room.leave(user_id),
            "remove": lambda room: room.remove_user(host, user_id, NOW + 10**12),
        }
        return await self.keeper.change(live_id, rules[action], user_id, host)

    async def check(self, answers: dict[str, dict[str, Any]]) -> None:
        """All that is stored and published must agree with the answers, by action and name."""
        users = [person.user_id for person in (*self.hosts, *self.viewers)]
        rooms = [await load_room(self.stores, live_id, *users) for live_id in self.live_ids]
        logged = [name for room in rooms for name in await self._gifts_of_log(room)]
        await self._check_gifts(logged, answers["gift"])
        # Each stream is on a seat, or dropped once.
        seated = [seat.stream for room in rooms for seat in (room.male, room.female) if seat]
        messages = self.stores.database.collection("outbox").find({"kind": "drop_stream"})
        dropped = [name async for row in messages for name in row["payload"]["streams"]]
        assert sorted([*seated, *dropped]) == sorted({*answers["accept"].values()})

    async def _gifts_of_log(self, room: Room) -> list[str]:
        """Names of the gifts in the log, which must agree with the room and with what was sent."""
        RoomModel().check_room(room)
        log = await self.stores.rooms.log_since(room.live_id, room.epoch, 0)
        assert log is not None
        assert [event.seq for event in log] == [*range(1, room.version + 1)]
        published = [
            event
            for call in self.listener.calls
            if call[:2] == ("publish", room.live_id)
            for event in call[2:]
        ]
        assert published == [(event.seq, event.type) for event in log]
        return [event.data["request_id"] for event in log if event.type == "gift"]

    async def _check_gifts(self, logged: list[str], answers: dict[str, Any]) -> None:
        assert sorted(logged) == sorted(answers)
        entries = await self.stores.entries(kind="gift")
        keys = [f"gift:{self.giver}:{name}" for name in answers]
        assert sorted(entry["_id"] for entry in entries) == sorted(keys)
        left = sorted((answer["gold"] for answer in answers.values()), reverse=True)
        assert left == [GOLD - 10 * n for n in range(1, len(answers) + 1)]
        problems = await LedgerReconciler(self.stores.database).problems()
        assert not [str(problem) for problem in problems]


@pytest.fixture
def failing_database(io_loop: IOLoop, mongo_uri: str) -> Iterator[FailingDatabase]:
    database = FailingDatabase(mongo_uri)
    yield database
    io_loop.run_sync(database.close)


@example_settings(
    10,
    phases=[Phase.generate],  # to shrink a failed example takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(calls=st.lists(CALLS, min_size=6, max_size=24), faults=FAULTS)
def test_a_conflict_at_any_command_of_a_batch_loses_and_doubles_nothing(
    io_loop: IOLoop,
    stores: StoresFixture,
    failing_database: FailingDatabase,
    calls: list[Call],
    faults: dict[int, Fault],
) -> None:
    async def run() -> None:
        lives = LivesFixture(stores, failing_database)
        await lives.begin()
        failing_database.fail(faults)
        sent = [lives.send(number, call) for number, call in enumerate(calls)]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        failing_database.fail({})
        succeeded: dict[str, dict[str, Any]] = {action: {} for action in ACTIONS}
        for number, ((action, _, _), answer) in enumerate(zip(calls, answers, strict=True)):
            if not isinstance(answer, QLiveError):
                assert not isinstance(answer, BaseException), answer
                succeeded[action][f"{number}"] = answer
        await lives.check(succeeded)

    io_loop.run_sync(run)
