"""Batches of several rooms on a real MongoDB, whose transactions fail at any command."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given
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
from tests.support.stored_rooms import change_room, load_room, open_room

ROOMS, VIEWERS = 3, 6
GOLD = 1_000_000
CONFLICT = OperationFailure("conflict", 112, {"errorLabels": ["TransientTransactionError"]})
Fault = Literal["conflict", "killed"]
Call = tuple[str, int, int]
"""Action, number of the room, and number of the viewer."""

ACTIONS = ["gift"] * 4 + ["accept"] * 3 + ["apply", "leave_mic"] * 2 + ["leave", "remove"]
CALLS = st.tuples(st.sampled_from(ACTIONS), st.integers(0, ROOMS - 1), st.integers(0, VIEWERS - 1))
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
    """Three rooms, live since the example began, and calls that change them at once."""

    def __init__(self, stores: StoresFixture, database: FailingDatabase, users: list[str]) -> None:
        self.stores = stores
        self.database = database
        self.giver, *others = users
        self.hosts = [Person(user_id, "host", "", 2) for user_id in others[:ROOMS]]
        self.viewers = [Person(user_id, "viewer", "", 1) for user_id in others[ROOMS:]]
        self.number = 0
        gifts = LedgerStore(database, StoresFixture(database).rankings)
        self.preparation: Preparation[Any, Any] = Preparation(
            gifts.load_context, lambda context, writes: gifts.add_writes(writes, context.batch)
        )

    @property
    def epoch(self) -> str:
        return f"e{self.number}"

    async def begin(self) -> None:
        """End the lives of the example before, and begin new ones."""
        for live_id in self.live_ids if self.number else ():
            await change_room(self.stores, live_id, lambda room: room.close("host"))
            await self.stores.rooms.clear(live_id, self.epoch)
        self.number += 1
        rooms = self.stores.database.collection("rooms")
        await rooms.update_many({}, {"$set": {"blocked": {}}})
        self.live_ids = [
            await open_room(
                self.stores, *self.viewers[2 * n : 2 * n + 2], host=host, epoch=self.epoch
            )
            for n, host in enumerate(self.hosts)
        ]
        await self.stores.database.collection("outbox").delete_many({})
        self.listener = RecordingListener()
        self.keeper = Keeper(StoresFixture(self.database).rooms, self.listener)
        self.gold = (await self.stores.balance(self.giver)).gold

    async def send(self, calls: Sequence[Call]) -> dict[str, tuple[str, Any]]:
        """The action and the answer or error of each call, by its name."""
        names = [f"{self.epoch}:{n}" for n in range(len(calls))]
        sent = [self._send(name, *call) for name, call in zip(names, calls, strict=True)]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        actions = [action for action, _, _ in calls]
        return dict(zip(names, zip(actions, answers, strict=True), strict=True))

    async def _send(self, name: str, action: str, room_number: int, viewer: int) -> Any:
        """`name` is of a stream or gift that only this call makes."""
        live_id, host = self.live_ids[room_number], self.hosts[room_number].user_id
        person, user_id = self.viewers[viewer], self.viewers[viewer].user_id
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

    async def check(self, answers: dict[str, tuple[str, Any]]) -> None:
        """All that is stored and published must agree with the answers."""
        succeeded: dict[str, dict[str, Any]] = {action: {} for action in ACTIONS}
        for name, (action, answer) in answers.items():
            if isinstance(answer, BaseException):
                assert isinstance(answer, QLiveError), answer
            else:
                succeeded[action][name] = answer
        users = [person.user_id for person in (*self.hosts, *self.viewers)]
        rooms = [await load_room(self.stores, live_id, *users) for live_id in self.live_ids]
        given = [name for room in rooms for name in await self._check_log(room)]
        await self._check_gifts(given, succeeded["gift"])
        # Each stream is on a seat, or dropped once.
        seated = [seat.stream for room in rooms for seat in (room.male, room.female) if seat]
        messages = self.stores.database.collection("outbox").find({"kind": "drop_stream"})
        dropped = [name async for row in messages for name in row["payload"]["streams"]]
        assert sorted([*seated, *dropped]) == sorted({*succeeded["accept"].values()})

    async def _check_log(self, room: Room) -> list[str]:
        """Names of the gifts in the log."""
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
        entries = await self.stores.entries(kind="gift", epoch=self.epoch)
        keys = [f"gift:{self.giver}:{name}" for name in answers]
        assert Counter(entry["_id"] for entry in entries) == Counter(keys)
        left = sorted((answer["gold"] for answer in answers.values()), reverse=True)
        assert left == [self.gold - 10 * n for n in range(1, len(answers) + 1)]
        problems = await LedgerReconciler(self.stores.database).problems()
        assert not [str(problem) for problem in problems]


@pytest.fixture
def lives(io_loop: IOLoop, stores: StoresFixture, mongo_uri: str) -> Iterator[LivesFixture]:
    users = io_loop.run_sync(lambda: stores.create_users((GOLD, 0), *[(0, 0)] * (ROOMS + VIEWERS)))
    database = FailingDatabase(mongo_uri)
    yield LivesFixture(stores, database, users)
    io_loop.run_sync(database.close)


@example_settings(
    10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(calls=st.lists(CALLS, min_size=6, max_size=24), faults=FAULTS)
def test_a_conflict_at_any_command_of_a_batch_loses_and_doubles_nothing(
    io_loop: IOLoop, lives: LivesFixture, calls: list[Call], faults: dict[int, Fault]
) -> None:
    async def run() -> None:
        await lives.begin()
        lives.database.fail(faults)
        answers = await lives.send(calls)
        lives.database.fail({})
        await lives.check(answers)

    io_loop.run_sync(run)
