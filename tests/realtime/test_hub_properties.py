"""Each socket gets every event once and in order, though messages are lost, late or repeated."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from core.errors import TryAgain
from realtime.frames import Key
from realtime.resume import ResumePosition
from rooms.events import NumberedEvent
from tests.support.hub import ROOM, USER, HubFixture, WriterSpy
from tests.support.hypothesis_profiles import example_settings
from tests.support.waiting import run_ready_tasks

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["publish", "publish", "lose", "delay"]), st.integers(1, 3)),
        st.tuples(st.sampled_from(["publish", "publish_delayed"]), st.integers(1, 3)),
        st.tuples(st.just("join"), st.none() | st.integers(0, 5)),
        st.tuples(st.just("join"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["check", "check", "forget", "outage"]), st.none()),
        st.tuples(st.just("turn"), st.sampled_from([1, 1, 1, 2, 3])),
    ),
    min_size=10,
    max_size=60,
)


class HubModel:
    """Joins and checks of the hub that run while events are stored; their reads take turns."""

    def __init__(self, slice_: int, key: Key) -> None:
        self.fixture = HubFixture(slice_, key)
        self.stored = self.fixture.stored
        self.delayed: list[NumberedEvent] = []
        self.writers: list[WriterSpy] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def act(self, action: str, argument: Any) -> None:
        match action:
            case "turn":
                await run_ready_tasks(argument)
            case "join":
                self.tasks.append(asyncio.ensure_future(self._join(argument)))
            case "check":
                self.tasks.append(asyncio.ensure_future(self._check()))
            case "forget":
                self.stored.oldest = max(len(self.stored.log), 1)
            case "outage":
                self.stored.unavailable = not self.stored.unavailable
            case _:
                self._handle_events(action, argument)
        self.check()

    def _handle_events(self, action: str, count: int) -> None:
        if action == "publish_delayed":  # perhaps again
            for event in self.delayed[-count:]:
                self.fixture.publish_event(event)
        else:
            events = [self.stored.save() for _ in range(count)]
            if action == "publish":
                for event in events:
                    self.fixture.publish_event(event)
            elif action == "delay":
                self.delayed += events

    async def end(self) -> None:
        await asyncio.gather(*self.tasks)
        self.stored.unavailable = False
        for _ in range(2):  # a room that has fallen behind may miss one event more meanwhile
            await self._check()
            await self.fixture.wait_backfilled()
        await run_ready_tasks(50)

    async def _join(self, missed: int | None) -> None:
        """A client joins, or resumes after it has missed so many events."""
        number = len(self.writers)
        is_room = self.fixture.key == ROOM
        writer = WriterSpy(str(number % 4) if is_room else USER, number)
        if not is_room and number % 4:  # else it is the socket of a room
            writer.member_socket = None
        self.writers.append(writer)
        seq = max(len(self.stored.log) - (missed or 0), 0)
        position = None if missed is None else ResumePosition("a", seq)
        try:
            await self.fixture.join(writer, position)
        except (ConnectionError, TryAgain):
            writer.closed = True  # by the connection

    async def _check(self) -> None:
        hub = self.fixture.hub
        with suppress(ConnectionError):
            backfills = hub.backfills
            await (backfills.check() if self.fixture.key == ROOM else backfills.check_users())

    def check(self) -> None:
        for writer in self.writers:
            self.last_seen(writer)

    @staticmethod
    def last_seen(writer: WriterSpy) -> int:
        """The last event that the client has seen; fails if it has missed one, or seen it twice."""
        seen = -1
        for frame in writer.received:
            seq = frame["seq"]
            if frame["type"] == "profile":
                assert seq == seen + 1, writer.received_events
                seen = seq
            else:
                assert seq > seen, writer.received_events
                assert frame["type"] == "snapshot" or seen == -1
                seen = seq - frame.get("replayed", 0)
        return seen


@example_settings(400, phases=[Phase.generate])  # to shrink a failed example takes minutes
@given(slice_=st.sampled_from([1, 64]), key=st.sampled_from([ROOM, USER]), actions=ACTIONS)
def test_every_socket_gets_each_event_after_its_first_frame_once_and_in_order(
    slice_: int, key: Key, actions: list[tuple[str, Any]]
) -> None:
    async def run() -> None:
        model = HubModel(slice_, key)
        for action, argument in actions:
            await model.act(action, argument)
        await model.end()
        model.check()
        for writer in model.writers:
            if not writer.closed:
                assert model.last_seen(writer) == len(model.stored.log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime.channel.RECENT_FRAMES", 4)
        patch.setattr("realtime.backfills.USER_CHECKS", 1)
        asyncio.run(run())
