"""Batches of several rooms on a real MongoDB, whose transactions fail at any command."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from pymongo.errors import OperationFailure
from tornado.ioloop import IOLoop

from core.clock import now_ms
from core.errors import QLiveError
from ledger.gifts import GiftTransfer
from rooms.events import NumberedEvent
from rooms.members import MemberCounts, Person
from rooms.room import Room
from rooms.state import Snapshot
from services.keeper import Keeper, Preparation
from storage.database import Database, Document, Session
from storage.gold.ledger import BatchContext, LedgerStore
from storage.gold.ledger_reconciler import LedgerReconciler
from tests.rooms.test_properties import RoomModel
from tests.support.gift_fixture import give_in_any_room
from tests.support.hypothesis_profiles import example_settings
from tests.support.keeper import RecordingListener
from tests.support.room_screen import comparable, fold
from tests.support.storage import NAME, StoresFixture, build, rose
from tests.support.stored_rooms import change_room, load_room, open_room

ROOMS, VIEWERS = 3, 6
GOLD = 1_000_000
CONFLICT = OperationFailure("conflict", 112, {"errorLabels": ["TransientTransactionError"]})
Fault = Literal["conflict", "killed"]


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


@dataclass(frozen=True)
class RoomCall:
    """A change of a room, or a gift from the giver of all rooms to this viewer."""

    action: str
    room: int
    viewer: int
    by_host: bool


CALLS = st.builds(
    RoomCall,
    action=st.sampled_from(
        ["gift"] * 4
        + ["accept"] * 3
        + ["apply", "leave_mic"] * 2
        + ["profile", "enter", "leave", "remove"]
    ),
    room=st.integers(0, ROOMS - 1),
    viewer=st.integers(0, VIEWERS - 1),
    by_host=st.booleans(),
)
FAULTS = st.dictionaries(
    st.integers(0, 25), st.sampled_from(["conflict", "conflict", "killed"]), min_size=1, max_size=3
)


class LivesFixture:
    """Three rooms, live since the example began, and calls that change them at once."""

    def __init__(self, stores: StoresFixture, database: FailingDatabase, users: list[str]) -> None:
        self.stores = stores
        self.database = database
        self.giver, *others = users
        self.hosts = [Person(user_id, "host", "", 2) for user_id in others[:ROOMS]]
        self.viewers = [Person(user_id, "viewer", "", 1) for user_id in others[ROOMS:]]
        self.epoch = ""
        self.number = 0
        self.gifts = LedgerStore(database, build(database).rankings)
        self.preparation: Preparation[GiftTransfer, BatchContext] = Preparation(
            self.gifts.load_context,
            lambda context, writes: self.gifts.add_writes(writes, context.batch),
        )

    async def begin(self) -> None:
        """End the lives of the example before, and begin new ones."""
        self.number += 1
        self.epoch = f"e{self.number}"
        for host in self.hosts if self.number > 1 else ():
            live_id, _, _ = await self.stores.rooms.get_or_create(host)
            await change_room(self.stores, live_id, lambda room: room.close("host"))
            await self.stores.rooms.clear(live_id, f"e{self.number - 1}")
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
        self.keeper = Keeper(build(self.database).rooms, self.listener)
        self.before = [self.shown(room) for room in await self.rooms()]
        self.gold = (await self.stores.balance(self.giver)).gold

    async def send(self, calls: Sequence[RoomCall]) -> list[Any]:
        sent = [self._send(f"{self.epoch}:{n}", call) for n, call in enumerate(calls)]
        return await asyncio.gather(*sent, return_exceptions=True)

    async def rooms(self) -> list[Room]:
        users = [person.user_id for person in (*self.hosts, *self.viewers)]
        return [await load_room(self.stores, live_id, *users) for live_id in self.live_ids]

    def shown(self, room: Room) -> Snapshot:
        return room.snapshot(MemberCounts(), lambda stream: stream)

    async def _send(self, name: str, call: RoomCall) -> Any:
        """`name` is of a nickname, stream or gift that only this call makes."""
        live_id, host = self.live_ids[call.room], self.hosts[call.room]
        person, now = self.viewers[call.viewer], now_ms()
        user_id = person.user_id
        actor = host.user_id if call.by_host else user_id
        if call.action == "gift":
            return await self.keeper.change_prepared(
                live_id,
                self.preparation,
                transfer := rose(self.giver, user_id, name),
                lambda room, context: give_in_any_room(room, context, transfer),
                user_id,
            )
        if call.action == "enter":
            return await self.keeper.enter(live_id, person)
        rules: dict[str, Callable[[Room], Any]] = {
            "accept": lambda room: room.accept(person, "open", name, name).stream,
            "apply": lambda room: room.apply(person, now, 600),
            "leave_mic": lambda room: room.leave_mic(actor, user_id),
            "profile": lambda room: room.update_profile(Person(host.user_id, name, "", 2)),
            "leave": lambda room: room.leave(user_id),
            "remove": lambda room: room.remove_user(host.user_id, user_id, now + 600_000),
        }
        return await self.keeper.change(live_id, rules[call.action], user_id, actor)


class ExampleResult:
    """What is stored and published after an example; all of it must agree with the answers."""

    def __init__(
        self, lives: LivesFixture, calls: Sequence[RoomCall], answers: Sequence[Any]
    ) -> None:
        self.lives = lives
        self.stores = lives.stores
        self.logs: list[list[NumberedEvent]] = []
        self.rooms: list[Room] = []
        self.answers = {
            f"{lives.epoch}:{n}": (call.action, answer)
            for n, (call, answer) in enumerate(zip(calls, answers, strict=True))
        }

    async def check(self) -> None:
        self.rooms = await self.lives.rooms()
        for room in self.rooms:
            log = await self.stores.rooms.log_since(room.live_id, room.epoch, 0)
            assert log is not None
            self.logs.append(log)
        self.check_errors()
        self.check_logs()
        self.check_profiles()
        await self.check_gifts()
        await self.check_streams()
        await self.check_mutes()

    def succeeded(self, *actions: str) -> list[str]:
        return [
            name
            for name, (action, answer) in self.answers.items()
            if action in actions and not isinstance(answer, Exception)
        ]

    def check_errors(self) -> None:
        for _, answer in self.answers.values():
            assert isinstance(answer, QLiveError) or not isinstance(answer, Exception)

    def check_logs(self) -> None:
        published = self.lives.listener.calls
        for room, log, before in zip(self.rooms, self.logs, self.lives.before, strict=True):
            assert [event.seq for event in log] == [*range(1, room.version + 1)]
            RoomModel().check_room(room)
            after = fold(before, [(event.type, event.data) for event in log])
            assert after == comparable(self.lives.shown(room))
            mine = [call for call in published if call[:2] == ("publish", room.live_id)]
            assert [event for call in mine for event in call[2:]] == [
                (event.seq, event.type) for event in log
            ]

    def events(self, type_: str) -> Iterator[NumberedEvent]:
        return (event for log in self.logs for event in log if event.type == type_)

    def check_profiles(self) -> None:
        names = [event.data["nickname"] for event in self.events("profile")]
        assert sorted(names) == sorted(self.succeeded("profile"))

    async def check_gifts(self) -> None:
        given = self.succeeded("gift")
        assert sorted(it.data["request_id"] for it in self.events("gift")) == sorted(given)
        entries = await self.stores.entries(kind="gift", epoch=self.lives.epoch)
        giver = self.lives.giver
        assert Counter(it["_id"] for it in entries) == Counter(f"gift:{giver}:{it}" for it in given)
        left = sorted((self.answers[name][1]["gold"] for name in given), reverse=True)
        assert left == [self.lives.gold - 10 * n for n in range(1, len(given) + 1)]
        problems = await LedgerReconciler(self.stores.database).problems()
        assert not [str(problem) for problem in problems]

    async def check_streams(self) -> None:
        """Each stream is on a seat, or dropped once."""
        seated = [seat.stream for room in self.rooms for seat in (room.male, room.female) if seat]
        messages = self.stores.database.collection("outbox").find({"kind": "drop_stream"})
        dropped = [name async for row in messages for name in row["payload"]["streams"]]
        accepted = {self.answers[name][1] for name in self.succeeded("accept")}
        assert sorted([*seated, *dropped]) == sorted(accepted)

    async def check_mutes(self) -> None:
        """A user who is removed again is banned for longer."""
        messages = await self.stores.database.collection("outbox").find({"kind": "mute"}).to_list()
        muted = [(it["payload"]["live_id"], it["payload"]["user_id"]) for it in messages]
        banned = {(room.live_id, user_id) for room in self.rooms for user_id in room.blocked}
        assert set(muted) == banned
        assert len(muted) <= len(self.succeeded("remove"))


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
    io_loop: IOLoop, lives: LivesFixture, calls: list[RoomCall], faults: dict[int, Fault]
) -> None:
    async def run() -> None:
        await lives.begin()
        lives.database.fail(faults)
        answers = await lives.send(calls)
        lives.database.fail({})
        await ExampleResult(lives, calls, answers).check()

    io_loop.run_sync(run)
